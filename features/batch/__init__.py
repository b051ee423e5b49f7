"""Events table in, signals table out: from a log of any size to what models read."""

from features.batch.columnar import signal_matrix, signals_table
from features.batch.extraction import Engine, Extraction, extract, local
from features.batch.records import events_table
from features.batch.table import (
    SCHEMA,
    EventsTableError,
    log_events,
    read_events,
    starts_of,
    without_outcomes,
)
from features.batch.write import Progress, write_events

__all__ = [
    "SCHEMA",
    "Engine",
    "EventsTableError",
    "Extraction",
    "Progress",
    "events_table",
    "extract",
    "local",
    "log_events",
    "read_events",
    "signal_matrix",
    "signals_table",
    "starts_of",
    "without_outcomes",
    "write_events",
]
