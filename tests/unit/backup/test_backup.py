"""Archives: what is in them, and what is refused when one is brought back."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest
import zstandard
from click.testing import CliRunner

from motehub.backup.archive import remembered
from motehub.backup.making import back_up
from motehub.backup.restoring import restore
from motehub.backup.snapshot import pinned
from motehub.cli.backup import backup
from motehub.config import StoreSettings
from motehub.data_folder import remember_store
from motehub.errors import BackupError, HubRunning, NewerSchema, StorageError
from motehub.journals.sqlite import SqliteLog, SqliteLogReader
from motehub.stores.sqlite import SqliteHistory

ABOUT = "motehub-backup/about.json"
SUMS = "motehub-backup/checksums.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder as a hub leaves it, with things that are of a run only."""
    folder = tmp_path / "data"
    (folder / "certificates" / "clients").mkdir(parents=True)
    log = SqliteLog(folder)
    log.append(b"frame", 1, {"key": b"value"})
    log.close()
    history = SqliteHistory(folder)
    history.bind(SqliteLogReader(folder).journal())
    history.close()
    (folder / "ca.key").write_bytes(b"secret")
    (folder / "ca.key").chmod(0o600)
    (folder / "certificates" / "clients" / "Küche é.crt").write_bytes(b"certificate")
    for name in ("run.json", "lock", "alerts.lock", "certificates/.lock", "old.tar.gz"):
        (folder / name).write_bytes(b"of a run")
    (folder / "link").symlink_to("/etc/passwd")
    return folder


@pytest.fixture
def archive(folder: Path, tmp_path: Path) -> Path:
    file = tmp_path / "backup.tar"
    back_up(folder, file)
    return file


def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]


def written(path: Path, parts: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.type = kind if name.endswith("evil") else tarfile.REGTYPE
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz", "tar.zst"])
def test_a_folder_comes_back(folder: Path, tmp_path: Path, ending: str) -> None:
    """What belongs to the hub is as it was, readable to its owner alone; nothing else is there."""
    file = tmp_path / f"b.{ending}"
    back_up(folder, file)
    assert file.stat().st_mode & 0o777 == 0o600
    again = tmp_path / "again"
    about = restore(file, again)
    assert about.databases == ("journal.db", "motehub.db")
    found = {str(one.relative_to(again)) for one in again.rglob("*") if one.is_file()}
    client = "certificates/clients/Küche é.crt"
    assert found == {"ca.key", client, "journal.db", "motehub.db", "lock"}
    assert (again / client).read_bytes() == b"certificate"
    assert (again / "ca.key").stat().st_mode & 0o777 == 0o600
    assert (again / "journal.db").stat().st_mode & 0o777 == 0o600
    reader = SqliteLogReader(again)
    assert [body for _, body in reader.read(0, 1)] == [b"frame"]
    assert reader.state() == {"key": b"value"}
    reader.close()


def test_links_are_named(folder: Path, tmp_path: Path) -> None:
    """What they lead to is not in a back-up, whether a file, a folder or nothing; so it is said."""
    elsewhere = tmp_path / "other disk"
    elsewhere.mkdir()
    (elsewhere / "2025-08.parquet").write_bytes(b"readings")
    (folder / "archive").symlink_to(elsewhere)
    (folder / "certificates" / "gone").symlink_to("nowhere")
    (folder / "old.tar").symlink_to(elsewhere / "old.tar")
    made = back_up(folder, tmp_path / "b.tar")
    assert made.links == ("archive", "link", "certificates/gone")
    assert not [name for name in members(tmp_path / "b.tar") if "archive" in name]
    said = CliRunner().invoke(backup, [str(tmp_path / "c.tar"), "--data", str(folder)])
    assert said.exit_code == 0
    assert "archive, link, certificates/gone. Back up what they lead to" in said.stderr


def test_a_restored_journal_is_another_one(folder: Path, archive: Path, tmp_path: Path) -> None:
    """Positions mean other frames from then on, and the history here follows the new journal."""
    restore(archive, tmp_path / "again")
    old, new = SqliteLogReader(folder), SqliteLogReader(tmp_path / "again")
    assert old.journal() != new.journal()
    history = SqliteHistory(tmp_path / "again")
    history.bind(new.journal())
    assert history.position() == 0
    for one in (old, new, history):
        one.close()


def test_the_history_on_a_server_is_not_in_it(folder: Path, tmp_path: Path) -> None:
    """A file that was left when the history moved to a server stays out, and the mark the same."""
    remember_store(folder, StoreSettings("postgres", "postgresql://u:secret@db.example/hub"))
    made = back_up(folder, tmp_path / "b.tar")
    assert made.store == "postgres"
    assert "secret" not in made.where
    restore(tmp_path / "b.tar", tmp_path / "again")
    assert not (tmp_path / "again" / "motehub.db").exists()
    old, new = SqliteLogReader(folder), SqliteLogReader(tmp_path / "again")
    assert old.journal() == new.journal()
    old.close()
    new.close()


def test_the_last_backup_is_remembered(folder: Path, tmp_path: Path) -> None:
    """The health page knows when there was one, and a failed one does not count."""
    assert remembered(folder) is None
    with pytest.raises(BackupError, match="end it in one of"):
        back_up(folder, tmp_path / "b.zip")
    assert remembered(folder) is None
    back_up(folder, tmp_path / "b.tar")
    note = remembered(folder)
    assert note is not None
    assert note.time.endswith("Z")
    assert note.size > 10_000
    assert not list(tmp_path.glob("backup-work-*"))


def test_a_backup_replaces_nothing(folder: Path, archive: Path) -> None:
    """A file that is there already stays as it is."""
    before = archive.read_bytes()
    with pytest.raises(BackupError, match="is there already"):
        back_up(folder, archive)
    assert archive.read_bytes() == before


def test_a_folder_without_a_hub_is_refused(tmp_path: Path) -> None:
    """A mistyped --data makes no empty back-up."""
    with pytest.raises(BackupError, match="no hub has run on it"):
        back_up(tmp_path, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()


def test_a_folder_with_something_in_it_is_left_alone(archive: Path, tmp_path: Path) -> None:
    """Nothing is restored over what is there."""
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "precious").write_bytes(b"1")
    with pytest.raises(BackupError, match="is not empty: it has precious"):
        restore(archive, tmp_path / "again")
    assert [one.name for one in (tmp_path / "again").iterdir()] == ["precious"]


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.zst"])
def test_an_archive_that_is_cut_off_is_refused(folder: Path, tmp_path: Path, ending: str) -> None:
    """Wherever an archive breaks off, nothing of it gets into the folder."""
    whole = tmp_path / f"b.{ending}"
    back_up(folder, whole)
    content = whole.read_bytes()
    # The padding at the end of a tar file says nothing.
    end = len(content) - 10_240 * ending.endswith("tar") - 20
    for length in {0, 1, 3, 4, 100, 512, 600, 1024, end, *range(2000, end, max(1, end // 25))}:
        if length > end:
            continue
        cut = tmp_path / "cut"
        cut.write_bytes(content[:length])
        with pytest.raises(BackupError):
            restore(cut, tmp_path / "again")
        assert {one.name for one in (tmp_path / "again").iterdir()} <= {"lock"}


def test_a_changed_byte_is_found(archive: Path, tmp_path: Path) -> None:
    """What is not as it was backed up is refused by its checksum."""
    content = archive.read_bytes()
    at = content.index(b"secret")
    (tmp_path / "bad.tar").write_bytes(content[:at] + b"SECRET" + content[at + 6 :])
    with pytest.raises(BackupError, match=r"damaged: ca\.key"):
        restore(tmp_path / "bad.tar", tmp_path / "again")


@pytest.mark.parametrize(
    "name",
    ["/etc/evil", "motehub-backup/data/../../evil", "motehub-backup/data/", "evil", "a/b/evil"],
)
def test_a_file_that_would_lie_elsewhere_is_refused(
    archive: Path, tmp_path: Path, name: str
) -> None:
    """An archive that somebody made up writes nowhere but into the folder."""
    parts = members(archive)
    sums = parts.pop(SUMS)
    made_up = written(tmp_path / "m.tar", {**parts, name: b"x", SUMS: sums})
    with pytest.raises(BackupError, match="is no back-up"):
        restore(made_up, tmp_path / "again")
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
)
def test_only_files_are_brought_back(archive: Path, tmp_path: Path, kind: bytes) -> None:
    """Links, folders and devices in an archive are refused."""
    parts = members(archive)
    sums = parts.pop(SUMS)
    evil = {"motehub-backup/data/evil": b"", SUMS: sums}
    with pytest.raises(BackupError, match="is no back-up"):
        restore(written(tmp_path / "m.tar", {**parts, **evil}, kind), tmp_path / "again")


def header(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def extended(record: bytes, body: bytes = b"x") -> bytes:
    return (
        header(tarfile.XHDTYPE, len(record))
        + record.ljust(512, b"\0")
        + header(tarfile.REGTYPE, len(body))
        + body.ljust(512, b"\0")
    )


@pytest.mark.parametrize(
    "garbled",
    [
        extended(b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n", b"{no number"),
        header(tarfile.XHDTYPE, 2**30),
        header(tarfile.GNUTYPE_LONGNAME, 2**30),
        header(tarfile.REGTYPE, -512),
        extended(b"22 GNU.sparse.size=2000\n25 GNU.sparse.numblocks=1\n20 GNU.sparse.map=0,1\n"),
    ],
    ids=["sparse map", "long extension", "long name", "negative", "sparse"],
)
def test_headers_that_make_no_sense_are_refused(
    archive: Path, tmp_path: Path, garbled: bytes
) -> None:
    """What the reader of tar files makes of a header is a sentence."""
    content = archive.read_bytes()
    first = 1024  # Behind what it says of itself.
    bad = tmp_path / "bad.tar"
    bad.write_bytes(content[:first] + garbled + b"\0" * 1024)
    with pytest.raises(BackupError):
        restore(bad, tmp_path / "again")
    assert {one.name for one in (tmp_path / "again").iterdir()} <= {"lock"}


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_never_ends_takes_no_memory(
    archive: Path, tmp_path: Path, kind: bytes
) -> None:
    """A small file that unpacks to a large header is refused before that is read."""
    size = 2**26
    bad = tmp_path / "bad.tar.zst"
    content = archive.read_bytes()[:1024] + header(kind, size) + bytes(size)
    bad.write_bytes(zstandard.compress(content))
    del content
    tracemalloc.start()
    try:
        with pytest.raises(BackupError, match=f"a header of {size} bytes"):
            restore(bad, tmp_path / "again")
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def test_text_that_is_none_is_refused(archive: Path, tmp_path: Path) -> None:
    """What an archive says of itself may be garbled in every way."""
    content = archive.read_bytes()
    at = content.index(b"sqlite") if b"sqlite" in content[:1024] else content.index(b"journal.db")
    (tmp_path / "bad.tar").write_bytes(content[:at] + b"\xfc" + content[at + 1 :])
    with pytest.raises(BackupError, match="damaged"):
        restore(tmp_path / "bad.tar", tmp_path / "again")


def test_a_later_format_is_refused(archive: Path, tmp_path: Path) -> None:
    """An archive of a later motehub says so, instead of being half understood."""
    parts = members(archive)
    parts[ABOUT] = json.dumps({"format": 2, "what": "else"}).encode()
    with pytest.raises(BackupError, match="format 2; this motehub knows 1"):
        restore(written(tmp_path / "m.tar", parts), tmp_path / "again")


def test_a_later_schema_is_refused(folder: Path, tmp_path: Path) -> None:
    """A database of a later motehub is refused before it is in place."""
    with closing(sqlite3.connect(folder / "journal.db")) as db:
        db.execute("PRAGMA user_version=999")
    back_up(folder, tmp_path / "b.tar")
    with pytest.raises(NewerSchema, match=r"journal\.db in the back-up has schema version 999"):
        restore(tmp_path / "b.tar", tmp_path / "again")
    assert not (tmp_path / "again" / "journal.db").exists()


@pytest.mark.parametrize("content", [b"", b"root:x:0:0\n", b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x00"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    """Any other file is refused with a sentence."""
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(BackupError):
        restore(tmp_path / "x", tmp_path / "again")


def test_a_folder_in_use_is_left_alone(archive: Path, tmp_path: Path) -> None:
    """A hub that begins on the folder meanwhile keeps it."""
    from motehub.data_folder import locked

    (tmp_path / "again").mkdir()
    with locked(tmp_path / "again"), pytest.raises(HubRunning):
        restore(archive, tmp_path / "again")


def test_a_full_disk_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no room for a copy of the history, nothing is begun."""
    import shutil

    free = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: free)
    with pytest.raises(StorageError, match="Free some space"):
        back_up(folder, folder.parent / "b.tar")
    assert not (folder.parent / "b.tar").exists()


def test_followers_are_never_ahead_of_the_journal(folder: Path) -> None:
    """What is read of all databases is of one moment, whatever is written while it is read."""
    log = SqliteLog(folder)
    mark = SqliteLogReader(folder).journal()
    history = sqlite3.connect(folder / "motehub.db", isolation_level=None)
    with pinned(folder, ["motehub.db"]) as found:
        for number in range(2, 5):
            log.append(b"later", number, {})
            history.execute("UPDATE cursor SET position = ?", (number,))
        log.trim(4, 10)
        head = found["journal.db"].execute("SELECT max(position) FROM frame").get
        cursor = found["motehub.db"].execute(
            "SELECT position FROM cursor WHERE journal = ?", (mark,)
        )
        assert (head, cursor.get) == (1, 0)
    history.close()
    log.close()


def test_frames_that_were_trimmed_in_between_are_not_missed(folder: Path) -> None:
    """A history that would lack frames which the journal has no more is not backed up."""
    log = SqliteLog(folder)
    for number in range(2, 6):
        log.append(b"later", number, {})
    log.trim(4, 10)
    log.close()
    # It was so before: nothing that a back-up could do about it.
    with pinned(folder, ["motehub.db"]) as found:
        assert set(found) == {"journal.db", "motehub.db"}


def test_zstandard_is_what_others_read(folder: Path, tmp_path: Path) -> None:
    """The archive is plain zstandard around plain tar."""
    back_up(folder, tmp_path / "b.tar.zst")
    with (
        zstandard.open(tmp_path / "b.tar.zst", "rb") as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        assert next(iter(tar)).name == ABOUT
