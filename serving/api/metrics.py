"""Metrics for Prometheus. No label ever names a task, a person or an account."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from serving.store.alarms import Raised

Found = tuple[Sequence[Raised], frozenset[str]]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_TENTHS = tuple(tenth / 10 for tenth in range(1, 11))
# From well under the disk's sync to far over any deadline of an agent, in s.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Metrics:
    """Counts of what was decided, and the state of the queues when asked.

    Parameters
    ----------
    queues, health : callable
        Return the engine's answers of these names; called at each scrape.
    found : callable
        Returns the alarms that are open, and the segments whose certificate does not
        hold.
    """

    def __init__(
        self,
        queues: Callable[[], Mapping[str, Any]],
        health: Callable[[], Mapping[str, Any]],
        found: Callable[[], Found] = lambda: ((), frozenset()),
    ) -> None:
        # A registry of its own: two services in one process do not mix.
        self._registry = CollectorRegistry()
        self._registry.register(_State(queues, health))
        self._registry.register(_Alarms(found))
        self._decisions = Counter(
            "escalon_decisions",
            "Decisions, by what the agent was told and by who decided.",
            ("action", "source", "effective"),
            registry=self._registry,
        )
        self._risk = Histogram(
            "escalon_risk",
            "Calibrated risk of the steps decided by the model.",
            buckets=_TENTHS,
            registry=self._registry,
        )
        self._latency = Histogram(
            "escalon_decision_seconds",
            "Time from a step read to its answer durable, in s.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._problems = Counter(
            "escalon_problems",
            "Calls refused, by the slug of the problem.",
            ("type",),
            registry=self._registry,
        )

    def decided(self, decision: Mapping[str, Any], seconds: float | None) -> None:
        """Count one decision, as the engine answers it, that took `seconds`.

        None where nobody waits for it: of spans that were received.
        """
        effective = "true" if decision["effective"] else "false"
        self._decisions.labels(decision["action"], decision["source"], effective).inc()
        if seconds is not None:
            self._latency.observe(seconds)
        if decision["risk"] is not None:
            self._risk.observe(decision["risk"])

    def refused(self, problem: str) -> None:
        """Count one problem, by its type."""
        self._problems.labels(problem.rpartition(":")[2]).inc()

    def exposed(self) -> bytes:
        """Return the text form that Prometheus scrapes."""
        return generate_latest(self._registry)


class _State(Collector):
    """Gauges read from the engine when somebody asks, so never stale."""

    def __init__(
        self,
        queues: Callable[[], Mapping[str, Any]],
        health: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._queues = queues
        self._health = health

    def describe(self) -> Iterator[Any]:
        """Yield nothing: the registry need not ask the engine to take us in."""
        yield from ()

    def collect(self) -> Iterator[Any]:
        """Yield depth and oldest wait of each queue, and what decides."""
        depth = GaugeMetricFamily(
            "escalon_queue_waiting", "Handoffs that wait.", labels=("queue",)
        )
        oldest = GaugeMetricFamily(
            "escalon_queue_oldest_seconds", "The longest wait, in s.", labels=("queue",)
        )
        for queue in self._queues()["queues"]:
            depth.add_metric((queue["queue"],), queue["waiting"])
            oldest.add_metric((queue["queue"],), queue["oldest_s"])
        yield from (depth, oldest)
        health = self._health()
        info = {
            "model": health["model"]["version"] or "none",
            "policy": health["policy"]["version"],
            "mode": health["policy"]["mode"],
        }
        yield InfoMetricFamily("escalon_live", "What decides now.", value=info)


class _Alarms(Collector):
    """What monitors have found, read when somebody asks."""

    def __init__(self, found: Callable[[], Found]) -> None:
        self._found = found

    def describe(self) -> Iterator[Any]:
        """Yield nothing: the registry need not ask the engine to take us in."""
        yield from ()

    def collect(self) -> Iterator[Any]:
        """Yield the open alarms by code and severity, and the withdrawn certificates.

        A segment can name an agent version or a tier, never a person: it stays out all
        the same, for a label must not grow without end.
        """
        alarms, withdrawn = self._found()
        gauge = GaugeMetricFamily(
            "escalon_alarms_open", "Alarms that stand.", labels=("code", "severity")
        )
        counts = Counted(
            (str(raised.alarm.code), str(raised.alarm.severity)) for raised in alarms
        )
        for labels, n in sorted(counts.items()):
            gauge.add_metric(labels, n)
        yield gauge
        yield GaugeMetricFamily(
            "escalon_certificates_withdrawn",
            "Certificates of the model in force that do not hold.",
            value=len(withdrawn),
        )
