"""The disk level: diskcache's database and files, hardened, with our own tables beside them in one transaction."""

from seawall.store.disk.disklevel import DiskLevel, open_disk

__all__ = ["DiskLevel", "open_disk"]
