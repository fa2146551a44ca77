"""Sources: where rules come from beside the file that is served. One file for each kind, and the roster of them all.

A source is settings with two verbs: ``open(data) -> Feed`` for a service, and ``peek(data) -> Feed`` for whoever only wants to look. A feed
hands over documents as they are now, and copies of those that were good last; what they mean, whether they are good and which of them wins,
it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gatewaycore.sources.files import DirectorySource, FileSource, look
from gatewaycore.sources.http import HttpSource
from gatewaycore.sources.protocols import Document, Feed, Source, version_of

SOURCES: Mapping[str, type[Source]] = MappingProxyType({"directory": DirectorySource, "file": FileSource, "http": HttpSource})

__all__ = ["SOURCES", "DirectorySource", "Document", "Feed", "FileSource", "HttpSource", "Source", "look", "version_of"]
