# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Requirements that a scenario of its own shows; listed here, run by tests/run.sh."""
from table import script

script("kernel_twin_same_traffic", "Whole runs",
       "Recorded, systematic and random traffic (every size, odd fields, wrong checksums, lying lengths, fragments, errors, "
       "TCP with loss) comes out as kernel masquerade lets it out; what differs is explained in limitations.md.",
       "t_differential.sh")
script("rfc1624_no_wrong_checksum", "Whole runs",
       "No wrong checksum, byte, address or L4 port in 10,000,000 packets of every size, UDP and TCP, both directions.",
       "t_soak.sh")
