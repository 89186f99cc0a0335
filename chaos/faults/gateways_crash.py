"""All gateways die by SIGKILL at the same moment: every device comes back at once, a thundering herd.

Breaks: nobody is connected, and then everybody wants to connect, register, authenticate and catch up in the same
seconds. Without jitter in the devices' backoff the herd would arrive in step.
Proven: all their pids are gone and all their ports refuse connections.
Undone: the supervisor may restart them. Healed when new pids answer peer pings as newer incarnations.
"""

from __future__ import annotations

from chaos.faults.mechanisms.crash_of_all import CrashOfAll


class GatewaysCrash(CrashOfAll):
    """SIGKILL of every gateway."""

    name = "gateways_crash"
    kind = "gateway"
