"""A small Hub on 127.0.0.1 that the real clients talk to over HTTP, with faults that can be switched on.

Large files are served from another origin (`localhost`), as the Hub does it; everything that was asked is recorded.
Xet is not served: clients need HF_HUB_DISABLE_XET=1.
"""

from .client import connect
from .server import LocalHub
from .store import File
from .users import ANN, BOB, EVE, READER

__all__ = ["ANN", "BOB", "EVE", "READER", "File", "LocalHub", "connect"]
