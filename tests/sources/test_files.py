"""Files: read once, hashed as read, and refused where they can't be rows' home."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from traceprop.errors import SourceError
from traceprop.sources.inputs import files


def test_the_bytes_read_are_the_bytes_hashed(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    content = bytes(range(256)) * 20_000  # over one chunk
    path.write_bytes(content)
    data, stamp = files.read_file(str(path), "a.bin")
    assert data.tobytes() == content
    assert files.digest(data) == hashlib.sha256(content).hexdigest()
    assert files.file_digest(str(path), "a.bin")[0] == files.digest(data)
    assert stamp.size == len(content)


def test_a_file_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a\n1\n")
    stamps = iter([5, 9])
    honest = files.FileStamp.of

    def growing(status: os.stat_result) -> files.FileStamp:
        stamp = honest(status)
        return files.FileStamp(stamp.size, next(stamps), stamp.inode, stamp.seen_ns)

    monkeypatch.setattr(files.FileStamp, "of", growing)
    with pytest.raises(SourceError, match=r"a\.csv changed while it was read"):
        files.read_file(str(path), "a.csv")


def test_a_stamp_vouches_only_for_a_file_that_had_time_to_settle(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a\n1\n")
    fresh = files.stamp_file(str(path), "a.csv")
    assert not fresh.vouches_for(fresh)
    os.utime(path, (1, 1))
    old = files.stamp_file(str(path), "a.csv")
    assert old.vouches_for(files.stamp_file(str(path), "a.csv"))
    path.write_bytes(b"a\n2\n")
    assert not old.vouches_for(files.stamp_file(str(path), "a.csv"))


def test_what_is_no_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.csv does not exist"):
        files.read_file(str(tmp_path / "gone.csv"), "gone.csv")
    with pytest.raises(SourceError, match="is a folder"):
        files.read_file(str(tmp_path), "data")
    fifo = tmp_path / "pipe.csv"
    os.mkfifo(fifo)
    with pytest.raises(SourceError, match="not a regular file"):
        files.read_file(str(fifo), "pipe.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.csv"
    path.write_bytes(b"a\n1\n")
    path.chmod(0)
    with pytest.raises(SourceError, match=r"secret\.csv can't be read: Permission denied"):
        files.read_file(str(path), "secret.csv")


def test_a_hasher_takes_the_bytes_as_they_are_read(tmp_path: Path) -> None:
    content = os.urandom(10_000_001)
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    with files.Hasher() as hasher:
        data, _ = files.read_file(str(path), "a.bin", hasher)
        assert hasher.hexdigest() == hashlib.sha256(content).hexdigest() == files.digest(data)
