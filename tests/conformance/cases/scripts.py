# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Requirements that a scenario of its own shows; listed here, run by tests/run.sh."""
from table import script
