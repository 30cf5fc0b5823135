"""What the wire has counted, as samples: the requests that a server answered, and the calls that a client made.

Called by server.py and client.py for whoever shows metrics.
"""

from __future__ import annotations

from collections.abc import Iterator

from dfs.core.meters import CallMeter
from dfs.core.metrics import (
    CALL_RECEIVED_BYTES,
    CALL_SECONDS,
    CALL_SENT_BYTES,
    CALLS,
    REQUEST_RECEIVED_BYTES,
    REQUEST_SECONDS,
    REQUEST_SENT_BYTES,
    REQUESTS,
    Metric,
    Sample,
)


def request_samples(meter: CallMeter) -> Iterator[Sample]:
    """Yield what a server answered."""
    return _samples(meter, REQUESTS, REQUEST_SECONDS, REQUEST_RECEIVED_BYTES, REQUEST_SENT_BYTES)


def call_samples(meter: CallMeter) -> Iterator[Sample]:
    """Yield what a client called."""
    return _samples(meter, CALLS, CALL_SECONDS, CALL_RECEIVED_BYTES, CALL_SENT_BYTES)


def _samples(meter: CallMeter, count: Metric, seconds: Metric, received: Metric, sent: Metric) -> Iterator[Sample]:
    for key, results, duration, received_bytes, sent_bytes in meter.read():
        for result, number in results.items():
            yield Sample(count, (*key, result), number)
        yield Sample(seconds, key, duration)
        yield Sample(received, key, received_bytes)
        yield Sample(sent, key, sent_bytes)
