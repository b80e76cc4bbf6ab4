"""Reads zip archives whose members are stored as they are, as torch writes them.

A strict reader: no compression, encryption or comments, no member twice, no two that share bytes, nothing that claims
more than the file holds. So what reading costs is bounded by the size of the file. Format: APPNOTE.TXT of PKWARE,
sections 4.3 and 4.5.
"""

import struct
import zlib
from collections import namedtuple

import numpy as np

__all__ = ["BadZipError", "StoredZip"]

MAX_MEMBERS = 100_000

LOCAL = struct.Struct("<4sHHHHHIIIHH")  # signature version flags method time date crc compressed size name extra
CENTRAL = struct.Struct(
    "<4sHHHHHHIIIHHHHHII"
)  # signature made needed flags ... crc compressed size name extra comment ... offset
END = struct.Struct("<4sHHHHIIH")  # signature disk disk entries entries size offset comment
END64 = struct.Struct("<4sQHHIIQQQQ")  # signature length made needed disk disk entries entries size offset
LOCATOR64 = struct.Struct("<4sIQI")  # signature disk offset disks

UTF8, DESCRIPTOR = 0x800, 0x8  # the only flags that torch sets

Member = namedtuple("Member", ["start", "size", "crc"])


class BadZipError(ValueError):
    """The archive is damaged, or uses something that torch's files do not."""


class StoredZip:
    """The members of the archive that fills a seekable binary file from `start` to its end.

    As in torch's files, places in it count from its own beginning.
    """

    def __init__(self, file, start=0):
        self.file, self.start = file, start
        self.size = file.seek(0, 2) - start
        count, size, offset = self._find_directory()
        self.members = self._read_directory(count, self._read_at(offset, size), offset)

    def _read_at(self, offset, size):
        self.file.seek(self.start + offset)
        data = self.file.read(size)
        if len(data) != size:
            raise BadZipError("the file ends too early")
        return data

    def _find_directory(self):
        """(number of members, size, offset) of the central directory; it must end where the end records begin."""
        end_at = self.size - END.size
        if end_at < 0:
            raise BadZipError(f"{self.size} bytes are too few for an archive")
        signature, disk, disk2, here, count, size, offset, comment = END.unpack(self._read_at(end_at, END.size))
        if signature != b"PK\5\6" or comment or disk or disk2 or here != count:
            raise BadZipError("its end is missing: the file is cut off, or something was appended to it")
        directory_end = end_at
        locator_at = end_at - LOCATOR64.size
        if locator_at >= 0:
            signature, disk, end64_at, _ = LOCATOR64.unpack(self._read_at(locator_at, LOCATOR64.size))
            if signature == b"PK\6\7":
                if disk or end64_at != locator_at - END64.size:
                    raise BadZipError("its 64-bit end record is not where it should be")
                record = END64.unpack(self._read_at(end64_at, END64.size))
                if record[0] != b"PK\6\6" or record[4] or record[5] or record[6] != record[7]:
                    raise BadZipError("its 64-bit end record is damaged")
                count, size, offset = record[7:]
                directory_end = end64_at
        if offset + size < directory_end and self._read_at(directory_end - offset - size, 4) == b"PK\3\4":
            raise BadZipError(
                f"{directory_end - offset - size} bytes stand in front of its last archive: of several saves into one "
                "file each is read from where it begins, with seek, and only the last; save a list of all instead"
            )
        if offset + size != directory_end:
            raise BadZipError("its directory is not where its end record says")
        if count > MAX_MEMBERS or count * CENTRAL.size > size:
            raise BadZipError(f"it claims to have {count} members in a directory of {size} bytes")
        return count, size, offset

    def _read_directory(self, count, data, directory_at):
        members = {}
        position = 0
        for _ in range(count):
            if position + CENTRAL.size > len(data):
                raise BadZipError("its directory is cut off")
            fields = CENTRAL.unpack_from(data, position)
            signature, _, _, flags, method, _, _, crc, compressed, size, name_size, extra_size, comment_size = fields[
                :13
            ]
            disk, _, _, offset = fields[13:]
            position += CENTRAL.size
            name = data[position : position + name_size]
            extra = data[position + name_size : position + name_size + extra_size]
            position += name_size + extra_size + comment_size
            if signature != b"PK\1\2" or position > len(data):
                raise BadZipError("its directory is damaged")
            try:
                name = name.decode("utf-8")
            except UnicodeDecodeError:
                raise BadZipError(f"a member's name is not UTF-8: {name[:100]!r}") from None
            if flags & ~(UTF8 | DESCRIPTOR) or method or disk:
                raise BadZipError(
                    f"member {name[:100]!r} is compressed or encrypted (method {method}, flags {flags:#x})"
                )
            size, compressed, offset = _large(extra, size, compressed, offset)
            if size != compressed:
                raise BadZipError(f"member {name[:100]!r} is stored, but has the sizes {compressed} and {size}")
            if name in members:
                raise BadZipError(f"member {name[:100]!r} is there twice")
            members[name] = Member(self._data_start(name, offset, directory_at), size, crc)
        if position != len(data):
            raise BadZipError("its directory is longer than its members")
        end = 0
        for name, member in sorted(members.items(), key=lambda item: (item[1].start, item[1].size)):
            if member.start < end:
                raise BadZipError(f"member {name[:100]!r} shares bytes with another one")
            end = member.start + member.size
        if end > directory_at:
            raise BadZipError("a member reaches past the beginning of the directory")
        return members

    def _data_start(self, name, offset, directory_at):
        """Where a member's bytes begin: behind its own header, whose name must be the same."""
        if offset + LOCAL.size > directory_at:
            raise BadZipError(f"member {name[:100]!r} begins outside the archive")
        fields = LOCAL.unpack(self._read_at(offset, LOCAL.size))
        if fields[0] != b"PK\3\4" or fields[3]:
            raise BadZipError(f"member {name[:100]!r} has no header of its own")
        if self._read_at(offset + LOCAL.size, fields[9]) != name.encode("utf-8"):
            raise BadZipError(f"member {name[:100]!r} has another name in its own header")
        return offset + LOCAL.size + fields[9] + fields[10]

    def read(self, name):
        """The bytes of a member."""
        return self.read_array(name).tobytes()

    def read_array(self, name):
        """The bytes of a member in a new uint8 array; its checksum is verified."""
        member = self.members[name]
        array = np.empty(member.size, np.uint8)
        self.file.seek(self.start + member.start)
        view, filled = memoryview(array), 0
        while filled < member.size:
            if hasattr(self.file, "readinto"):
                count = self.file.readinto(view[filled:])
            else:
                piece = self.file.read(min(member.size - filled, 1 << 22))
                count = len(piece)
                view[filled : filled + count] = piece
            if not count:
                raise BadZipError("the file ends too early")
            filled += count
        if zlib.crc32(view) != member.crc:
            raise BadZipError(f"member {name[:100]!r} is damaged: its checksum is wrong")
        return array


def _large(extra, size, compressed, offset):
    """Sizes of 4 GB and more stand in an extra field (4.5.3), in this order, each only where 32 bits did not do."""
    while len(extra) >= 4:
        tag, length = struct.unpack_from("<HH", extra)
        body, extra = extra[4 : 4 + length], extra[4 + length :]
        if tag == 1:
            values = [size, compressed, offset]
            for i, value in enumerate(values):
                if value == 0xFFFFFFFF:
                    if len(body) < 8:
                        raise BadZipError("a 64-bit size is missing")
                    (values[i],), body = struct.unpack_from("<Q", body), body[8:]
            return values
    return size, compressed, offset
