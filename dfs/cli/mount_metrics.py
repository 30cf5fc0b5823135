"""Where a mount shows its metrics: a Unix socket for each, named after the mount point.

Called by dfs/cli/mount.py. The page itself is put together there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dfs.cli.mount_names import file_name
from dfs.host.prometheus_page import PrometheusPage
from dfs.rpc.metrics_page import MetricsPage
from dfs.rpc.metrics_socket import PATH_BYTES_MAX, MetricsSocket

LOG = logging.getLogger(__name__)

SUFFIX: Final = ".sock"
_BESIDE: Final = ".new"
"""What the socket's name has behind it until it is in its place."""


def socket_path(folder: Path, point: bytes) -> Path:
    """Return where the mount at `point` shows its metrics: a name that no other mount has, and that a socket can have."""
    room = PATH_BYTES_MAX - len(str(folder).encode()) - 1 - len(_BESIDE)
    return folder / file_name(point, SUFFIX, room)


@contextmanager
def shown_on_socket(page: PrometheusPage, folder: Path, point: bytes) -> Iterator[None]:
    """Show a mount's metrics meanwhile. Where that can't be, files are served nevertheless, and the log says why."""
    path = socket_path(folder, point)
    try:
        shown = MetricsSocket(path, MetricsPage(page.render))
    except OSError as error:
        LOG.warning("the metrics of this mount are not shown at %s: %s", path, error.strerror or error)
        yield
        return
    shown.start()
    LOG.info("the metrics of this mount are shown at %s", path)
    try:
        yield
    finally:
        shown.stop()
