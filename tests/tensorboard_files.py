"""Reads TensorBoard's event files: records of protocol buffers, each with its length before and checksums around."""

from __future__ import annotations

import pathlib
import struct

from tensorboardX.proto.event_pb2 import Event


def scalars(path: pathlib.Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of each scalar."""
    data, place = path.read_bytes(), 0
    found: dict[str, list[tuple[int, float]]] = {}
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        event = Event.FromString(data[place + 12 : place + 12 + length])
        place += 12 + length + 4
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found
