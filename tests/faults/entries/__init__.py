# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The faults, by what they are done to. Importing this fills table.FAULTS in order."""
from . import process, ports, links, hands, churn, overload  # noqa: F401
