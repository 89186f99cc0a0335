"""The store tells each chat service 17 heads a second. That is no defect of the chat system by itself.

SQLite tells thousands. Three Cassandra nodes on a busy machine, from which a thousand devices ask, are like this.
"""

from __future__ import annotations

from tests.defects.restart_slowed_by_clients.trigger import chat

__all__ = ["chat"]
