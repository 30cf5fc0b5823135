"""Every limit, named, with its unit (design section 9)."""

from __future__ import annotations

from typing import Final

NAME_BYTES_MAX: Final = 255
"""One name in a folder."""
PATH_BYTES_MAX: Final = 4096
"""What a program may say in one system call."""
TREE_PATH_BYTES_MAX: Final = 65_536
"""A path from the root: relative paths lead deeper than PATH_BYTES_MAX, and the kernel's whole path is what we get."""
SYMLINK_BYTES_MAX: Final = 4095
LINKS_MAX: Final = 65_000
FILE_BYTES_MAX: Final = 1 << 50
"""1 PiB: a file's largest size."""
LISTING_ENTRIES_MAX: Final = 4096
"""Entries of one ListFolder answer."""
SERVERS_MIN: Final = 2
SERVERS_MAX: Final = 255
BLOCK_SIZES: Final = (512, 1 << 20)
"""Smallest and largest block; a power of two."""
REQUEST_DATA_BYTES_MAX: Final = 4 << 20
"""Block data of one Put or Get."""
REQUEST_BLOCKS_MAX: Final = 16_384
"""Blocks of one Put or Get."""
BATCH_INODES_MAX: Final = 4096
"""Inodes of one Drop or ListInodes."""
SNAPSHOT_PART_BYTES_MAX: Final = 4 << 20
"""Bytes of one StoreSnapshot or FetchSnapshot."""
SNAPSHOT_BYTES_MAX: Final = 1 << 36
"""A snapshot of the meta-server, compressed."""

XATTR_NAME_BYTES_MAX: Final = 255
XATTR_VALUE_BYTES_MAX: Final = 65_536
XATTR_LIST_BYTES_MAX: Final = 65_536
"""The names of one inode's extended attributes, each with a NUL: what listxattr(2) can return."""
LOCKS_MAX: Final = 4096
"""Ranges that one owner may have locked in one file."""

TICKETS_AHEAD_MAX: Final = 1 << 20
"""How far above the mark that meta told it a data server believes a ticket, and meta one above its own: decision record 19."""
TICKET_JUMPS_INTERVAL_S: Final = 10.0
"""How often meta goes above a ticket that it has not issued because somebody says to have seen it: decision record 19."""

BODY_BYTES_MAX: Final = 16 << 20
"""Body of one HTTP request or answer."""
BODY_BYTES_TRUSTED: Final = 256 << 10
"""Memory that a body gets because its head announces it: what a write of 128 KiB needs. More comes as its bytes come."""
HEADER_BYTES_MAX: Final = 16 << 10
"""Request line and headers together."""
XML_DEPTH_MAX: Final = 64
XML_ELEMENTS_MAX: Final = 1_000_000
CONNECTIONS_MAX: Final = 512
"""Connections to one server: each has a thread, which takes 100 KiB or so."""
CONNECTIONS_PER_PEER_MAX: Final = CONNECTIONS_MAX // 2
"""Those of one address. A mount keeps up to 32 to each server (IDLE_PER_ADDRESS_MAX) where that many of its programs are at work
at once, so a host may have eight such mounts, or dozens of usual ones; and still it leaves as many to all others.
"""
REQUESTS_IN_FLIGHT_MAX: Final = 384
"""Requests that one server carries out at the same time; a parked heartbeat is one."""
REQUESTS_IN_FLIGHT_PER_PEER_MAX: Final = REQUESTS_IN_FLIGHT_MAX // 2
BYTES_IN_FLIGHT_MAX: Final = 256 << 20
"""Bodies and answers that one server has in memory at the same time. Taking one apart takes a few times as much for a moment."""
BYTES_IN_FLIGHT_PER_PEER_MAX: Final = BYTES_IN_FLIGHT_MAX // 2
IDLE_TIMEOUT_S: Final = 300.0
"""A connection without a request is closed after this time."""
REQUEST_TIMEOUT_S: Final = 30.0
"""Time for a request to arrive once its first byte is there, for a new connection to begin one, and for an answer to be taken."""
CALL_TIMEOUT_S: Final = 10.0
"""Time for an answer, beyond what the method itself may wait."""
READ_PATIENCE_S: Final = 1.0
"""A read turns to the other copies when a server has been silent for so long."""
CONNECT_TIMEOUT_S: Final = 2.0
TLS_HANDSHAKE_S: Final = 5.0
"""Time for both sides to show their certificates, from the connection's being there."""

HEARTBEAT_PARK_S: Final = 5.0
"""How long meta keeps a heartbeat waiting."""
LEASE_CLIENT_S: Final = 20.0
"""A mount stops writing by itself this long after it sent its last good heartbeat."""
NONCE_BYTES: Final = 16
"""Of a nonce by which a session is asked for."""
ENDED_SESSIONS_MAX: Final = 16
"""Sessions of dead mounts that may be told when one is opened."""
LEASE_META_S: Final = 30.0
"""Meta expires a session this long after its last heartbeat arrived; also how long a started meta waits for sessions."""
ACQUIRE_PARK_S: Final = 1.0
"""How long meta keeps an Acquire waiting for a recalled grant."""
PLEDGE_S: Final = 0.25
"""How long a mount may go by the names of a folder that it asked for with ListNames, from before it asked."""
SETTLE_PARK_S: Final = 1.0
"""How long meta keeps a Lookup waiting of an inode whose holder has gone, before it tells the caller to ask again."""
LOCK_PARK_S: Final = 1.0
"""How long meta keeps a Lock waiting that another owner's lock is in the way of."""
LATE_PUT_S: Final = 5.0
"""The two copies of a block are stored within this time of each other, or synced before the write is acknowledged."""
COMMIT_INTERVAL_S: Final = 1.0
"""A holder commits size and mtime at least this often while dirty."""
RETRY_DELAY_S_MIN: Final = 0.05
RETRY_DELAY_S_MAX: Final = 2.0
