"""Data sets of webdataset shards: finds or fetches the tar files, indexes them, and reads images by their position."""

from __future__ import annotations

from allweather.trainers.data.shards.inspect_shards import inspect_shards
from allweather.trainers.data.shards.read_shards import read_shards, shard_classes
from allweather.trainers.data.shards.shard_source import ShardSource

__all__ = ["ShardSource", "inspect_shards", "read_shards", "shard_classes"]
