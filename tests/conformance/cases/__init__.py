# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The tests, one module a section of the table (table.py)."""
import importlib

MODULES = [importlib.import_module("cases." + m) for m in (
    "udp", "fragments", "tcp", "tcp_track", "icmp", "hairpin", "limits", "forwarding", "rules", "ipv6", "security",
    "counters", "scripts")]
