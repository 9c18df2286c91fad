"""Readers of what goes over the wire: HTTP/1.1 messages, multipart forms, protobuf fields, pprof. No more of each than
the cases need, and written apart from the gateway's own, so that a mistake in one of them shows."""

import dataclasses
import gzip
import struct
import zlib

import zstandard

LZ4 = b"\x04\x22\x4d\x18"


@dataclasses.dataclass
class Message:
    """A request or an answer."""

    first: tuple
    headers: list
    body: bytes

    @property
    def method(self):
        return self.first[0]

    @property
    def path(self):
        return self.first[1].partition("?")[0]

    @property
    def query(self):
        return self.first[1].partition("?")[2]

    @property
    def status(self):
        return int(self.first[1])

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name), "")

    @property
    def content(self):
        """The body without its compression."""
        return decoded(self.header("content-encoding"), self.body)


def decoded(encoding, body):
    match encoding.lower():
        case "" | "identity":
            return body
        case "gzip":
            return gzip.decompress(body)
        case "deflate":
            return zlib.decompress(body)
        case "zstd":
            return unzstd(body)
    raise ValueError(f"content encoding {encoding!r}")


def unzstd(body):
    """Any number of frames."""
    with zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True) as reader:
        return reader.read()


def uncompressed(data):
    """By its first bytes, whatever somebody says of it."""
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return unzstd(data)
    return data


def messages(stream, asked=None):
    """The whole messages of one direction of a connection; for answers, the requests that they belong to."""
    at, found = 0, []
    while at < len(stream):
        end = stream.find(b"\r\n\r\n", at)
        if end < 0:
            break
        lines = stream[at:end].decode("latin-1").split("\r\n")
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        message = Message(tuple(lines[0].split(" ", 2)), headers, b"")
        at = end + 4
        bodiless = False
        if asked is not None:
            if message.status == 100:
                continue
            method = asked[len(found)].method if len(found) < len(asked) else ""
            bodiless = method == "HEAD" or message.status in (204, 304)
        if bodiless:
            pass
        elif message.header("transfer-encoding").lower() == "chunked":
            message.body, at = chunked(stream, at)
        elif message.header("content-length"):
            length = int(message.header("content-length"))
            message.body, at = stream[at : at + length], at + length
            if len(message.body) < length:
                break
        elif asked is not None:
            message.body, at = stream[at:], len(stream)
        if message.body is None:
            break
        found.append(message)
    return found


def chunked(stream, at):
    body = bytearray()
    while True:
        end = stream.find(b"\r\n", at)
        if end < 0:
            return None, len(stream)
        length = int(stream[at:end].split(b";")[0], 16)
        at = end + 2
        if length == 0:
            return bytes(body), stream.index(b"\r\n", at) + 2
        body += stream[at : at + length]
        at += length + 2


@dataclasses.dataclass
class Part:
    name: str
    filename: str
    data: bytes


def form(content_type, body):
    """The parts of a multipart form, byte for byte."""
    marker = "boundary="
    if not content_type.startswith("multipart/form-data") or marker not in content_type:
        raise ValueError(f"no form: {content_type!r}")
    boundary = content_type.split(marker, 1)[1].split(";")[0].strip('" ')
    line = b"\r\n--" + boundary.encode()
    pieces = (b"\r\n" + body).split(line)
    if not pieces[-1].startswith(b"--"):
        raise ValueError("the form does not end")
    parts = []
    for piece in pieces[1:-1]:
        head, _, data = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        names = {"name": "", "filename": ""}
        for header in head.decode().split("\r\n"):
            if header.lower().startswith("content-disposition:"):
                for field in header.split(";")[1:]:
                    key, _, value = field.strip().partition("=")
                    names[key] = value.strip('"')
        parts.append(Part(names["name"], names["filename"], data))
    return parts


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(data):
    """Number and value of each field: integers, bytes, or the eight bytes of a fixed one."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        match key & 7:
            case 0:
                value, at = varint(data, at)
            case 1:
                value, at = data[at : at + 8], at + 8
            case 2:
                length, at = varint(data, at)
                value, at = data[at : at + length], at + length
                if len(value) < length:
                    raise ValueError("a field goes past the end")
            case 5:
                value, at = data[at : at + 4], at + 4
            case other:
                raise ValueError(f"wire type {other}")
        yield key >> 3, value


def signed(value):
    return value - (1 << 64) if value >> 63 else value


@dataclasses.dataclass
class Point:
    category: str
    name: str = ""
    time: int = 0
    tags: dict = dataclasses.field(default_factory=dict)
    fields: dict = dataclasses.field(default_factory=dict)

    def get(self, key, default=None):
        return self.tags.get(key, self.fields.get(key, default))


def points(category, body):
    """DataKit's `PBPoints`."""
    for number, encoded in fields(body):
        if number != 1:
            continue
        point = Point(category)
        for number, value in fields(encoded):
            match number:
                case 1:
                    point.name = value.decode()
                case 2:
                    key, held, is_tag = point_field(value)
                    target = point.tags if is_tag else point.fields
                    if key in point.tags or key in point.fields:
                        raise ValueError(f"{key} is there twice")
                    target[key] = held
                case 3:
                    point.time = signed(value)
        yield point


def point_field(encoded):
    key, held, is_tag = "", None, False
    for number, value in fields(encoded):
        match number:
            case 1:
                key = value.decode()
            case 2:
                held = signed(value)
            case 3:
                held = value
            case 4:
                held = struct.unpack("<d", value)[0]
            case 5:
                held = bool(value)
            case 6 | 7:
                held = value
            case 11:
                held = value.decode()
            case 8:
                is_tag = bool(value)
    return key, held, is_tag


@dataclasses.dataclass
class Profile:
    """What a pprof profile holds: a sum for each of its types, and its names."""

    sums: dict
    samples: int
    texts: set


def pprof(data):
    # In whatever order they come: names may stand behind what they name.
    found = {1: [], 2: [], 6: []}
    for number, value in fields(uncompressed(data)):
        if number in found:
            found[number].append(value)
    texts = [text.decode() for text in found[6]]
    types = [texts[dict(fields(value)).get(1, 0)] for value in found[1]]
    sums = [0] * len(types)
    for sample in found[2]:
        values = [integers(value) for number, value in fields(sample) if number == 2]
        for index, value in enumerate(value for several in values for value in several):
            sums[index] += value
    return Profile(dict(zip(types, sums)), len(found[2]), set(texts))


def integers(packed):
    if isinstance(packed, int):
        return [signed(packed)]
    at, values = 0, []
    while at < len(packed):
        value, at = varint(packed, at)
        values.append(signed(value))
    return values
