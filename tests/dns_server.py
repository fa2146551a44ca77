"""A DNS server on loopback, with dnspython: it knows what a test tells it, and misbehaves as a test wants it to."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from types import TracebackType
from typing import Any, Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.TXT import TXT

_MOST_UDP = 1232
_TTL_S = 1


class DnsServer:
    """Answers over UDP and TCP, as a recursive server does: CNAMEs are followed as far as they are known here.

    Args:
        host: the address to listen on; any free port is taken.

    Attributes:
        asked: names and types, in order.
        broken: names for which every question fails with this code; those that are never answered have None.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.records: dict[tuple[str, str], list[str]] = {}
        self.broken: dict[str, dns.rcode.Rcode | None] = {}
        self.asked: list[tuple[str, str]] = []
        self._udp, self._tcp = self._open()
        self.port = self._udp.server_address[1]
        self._threads = [threading.Thread(target=one.serve_forever, args=(0.05,), daemon=True) for one in (self._udp, self._tcp)]

    def _open(self) -> tuple[socketserver.ThreadingUDPServer, socketserver.ThreadingTCPServer]:
        """Take a port that is free for both; others may have taken one of them meanwhile."""
        while True:
            udp = _Datagrams((self.host, 0), _handler(self, _Udp))
            try:
                return udp, _Streams(udp.server_address[:2], _handler(self, _Tcp))
            except OSError:
                udp.server_close()

    @property
    def address(self) -> str:
        """Its address and port."""
        return f"{self.host}:{self.port}"

    def set(self, name: str, kind: str, *values: str) -> None:
        """Set the records of a name; none takes them away."""
        self.records[name, kind] = list(values)

    def answer(self, wire: bytes, most: int) -> bytes | None:
        """Return the answer to a question; None for none at all."""
        query = dns.message.from_wire(wire)
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        response = dns.message.make_response(query, recursion_available=True)
        if name in self.broken:
            code = self.broken[name]
            if code is None:
                return None
            response.set_rcode(code)
            return response.to_wire()
        self._fill(response, name, kind)
        try:
            return response.to_wire(max_size=most)
        except dns.exception.TooBig:
            response.answer = []
            response.flags |= dns.flags.TC
            return response.to_wire()

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        seen: set[str] = set()
        while kind != "CNAME" and self.records.get((name, "CNAME")) and name not in seen:
            seen.add(name)
            (target,) = self.records[name, "CNAME"]
            response.answer.append(_rrset(name, "CNAME", [target]))
            name = target
        values = self.records.get((name, kind))
        if values:
            response.answer.append(_rrset(name, kind, values))
        elif not response.answer and not any(one == name and found for (one, _), found in self.records.items()):
            response.set_rcode(dns.rcode.NXDOMAIN)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for server in (self._udp, self._tcp):
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()


def _rrset(name: str, kind: str, values: list[str]) -> dns.rrset.RRset:
    if kind == "TXT":
        return dns.rrset.from_rdata_list(f"{name}.", _TTL_S, [_texts(one.encode()) for one in values])
    if kind == "CNAME":
        values = [f"{one}." for one in values]
    return dns.rrset.from_text_list(f"{name}.", _TTL_S, dns.rdataclass.IN, kind, values)


def _texts(value: bytes) -> dns.rdata.Rdata:
    """Return a record, in pieces of 255 bytes, as they are on the wire."""
    return TXT(dns.rdataclass.IN, dns.rdatatype.TXT, [value[at : at + 255] for at in range(0, max(1, len(value)), 255)])


class _Datagrams(socketserver.ThreadingUDPServer):
    daemon_threads = True


class _Streams(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _Udp(socketserver.BaseRequestHandler):
    dns: DnsServer

    def handle(self) -> None:
        wire, sender = self.request
        found = self.dns.answer(wire, _MOST_UDP)
        if found is not None:
            sender.sendto(found, self.client_address)


class _Tcp(socketserver.BaseRequestHandler):
    dns: DnsServer

    def handle(self) -> None:
        while (head := _exactly(self.request, 2)) is not None:
            wire = _exactly(self.request, struct.unpack("!H", head)[0])
            found = None if wire is None else self.dns.answer(wire, 65535)
            if found is None:
                return
            self.request.sendall(struct.pack("!H", len(found)) + found)


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    found = b""
    while len(found) < count:
        piece = connection.recv(count - len(found))
        if not piece:
            return None
        found += piece
    return found


def _handler(server: DnsServer, base: type[Any]) -> type[Any]:
    return type(base.__name__, (base,), {"dns": server})
