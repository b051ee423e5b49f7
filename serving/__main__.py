"""``python -m serving``: serve what the environment describes."""

from __future__ import annotations

import sys

from serving.channels.config import ChannelsError
from serving.policy.rules import PolicyError
from serving.server import ServerError, run
from serving.settings import Settings, SettingsError
from serving.store.transaction import StoreError

if __name__ == "__main__":
    try:
        run(Settings.load())
    except (
        SettingsError,
        PolicyError,
        ChannelsError,
        StoreError,
        ServerError,
    ) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
