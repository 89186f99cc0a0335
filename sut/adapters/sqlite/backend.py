"""The log and the store in SQLite files of the system's own directory."""

from __future__ import annotations

from sut.adapters.shared.site import Site
from sut.adapters.sqlite.devices import SqliteDevices
from sut.adapters.sqlite.keys import SqliteKeys
from sut.adapters.sqlite.log import SqliteLog
from sut.adapters.sqlite.store import SqliteStore


def open_log(site: Site) -> SqliteLog:
    return SqliteLog(site.data, site.topology.settings.partitions)


def open_store(site: Site) -> SqliteStore:
    return SqliteStore(site.data, site.topology.settings.partitions)


def open_keys(site: Site) -> SqliteKeys:
    return SqliteKeys(site.data, site.topology.settings.partitions)


def open_devices(site: Site) -> SqliteDevices:
    return SqliteDevices(site.data, site.topology.settings.partitions)
