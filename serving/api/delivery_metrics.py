"""Metrics of deliveries: what waits for each channel, since when, what was given up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

Load = Callable[[], Sequence[Mapping[str, Any]]]

_GAUGES = {
    "pending": ("escalon_outbox_pending", "Deliveries that wait."),
    "oldest_s": ("escalon_outbox_oldest_seconds", "The longest wait, in s."),
    "dead": ("escalon_outbox_dead", "Dead letters: given up until sent again."),
    "is_down": ("escalon_outbox_channel_down", "Whether the channel is down."),
}


class Outbox(Collector):
    """Gauges by channel, read from the engine when somebody asks, so never stale.

    Parameters
    ----------
    load : callable
        Returns how each channel does; called at each scrape.
    """

    def __init__(self, load: Load) -> None:
        self._load = load

    def describe(self) -> Iterator[Any]:
        """Yield nothing: the registry need not ask the engine to take us in."""
        yield from ()

    def collect(self) -> Iterator[Any]:
        """Yield what waits, the oldest, the dead, and whether the channel is down."""
        channels = self._load()
        for column, (name, says) in _GAUGES.items():
            gauge = GaugeMetricFamily(name, says, labels=("channel",))
            for channel in channels:
                gauge.add_metric((channel["channel"],), float(channel[column]))
            yield gauge
