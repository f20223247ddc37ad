"""What a user names: paths, lists, globs and URLs become files, or one clear refusal."""

from __future__ import annotations

import builtins
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from traceprop.errors import MissingExtraError, SourceError
from traceprop.sources.inputs import remote
from traceprop.sources.inputs import resolve as inputs


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of files, which is the working folder."""
    for name in ("y.csv", "a/x.csv", "a/deep/z.csv", "b/x.csv", "b/note.txt", ".hidden/x.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def uris(named: object, **options: object) -> list[str]:
    return [each.uri for each in inputs.resolve(named, **options)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("y.csv", ["y.csv"]),
        ("*.csv", ["y.csv"]),
        ("?/x.csv", ["a/x.csv", "b/x.csv"]),
        ("[b-z]/x.csv", ["b/x.csv"]),
        ("**/*.csv", ["a/deep/z.csv", "a/x.csv", "b/x.csv", "y.csv"]),
        ("a/**", ["a/deep/z.csv", "a/x.csv"]),
        ("**/deep/*", ["a/deep/z.csv"]),
        (".hid*/x.csv", [".hidden/x.csv"]),
        (["b/*.csv", "y.csv"], ["b/x.csv", "y.csv"]),
        (Path("a") / "*.csv", ["a/x.csv"]),
    ],
)
def test_the_files_of_a_pattern_sorted(tree: Path, pattern: object, expected: list[str]) -> None:
    found = inputs.resolve(pattern)
    assert [each.uri for each in found] == expected
    assert [each.path for each in found] == [str(tree / each) for each in expected]


def test_a_pattern_from_the_root_gives_full_paths(tree: Path) -> None:
    assert uris(f"{tree}/*/x.csv") == [f"{tree}/a/x.csv", f"{tree}/b/x.csv"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tree: Path) -> None:
    (tree / "y[1].csv").write_text("1")
    assert uris("y[1].csv") == ["y[1].csv"]


def test_a_home_folder_is_found(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tree))
    (found,) = inputs.resolve("~/y.csv")
    assert (found.uri, found.path, found.name) == ("~/y.csv", str(tree / "y.csv"), "y.csv")


def test_names_tell_files_apart(tree: Path) -> None:
    assert [each.name for each in inputs.resolve("**/*.csv")] == [
        *("z.csv", "a/x.csv", "b/x.csv", "y.csv"),
    ]


REFUSED = {
    "nothing matches": ("*.tsv", r"no file matches '\*\.tsv' \(looked from"),
    "no such folder": ("gone/*.csv", r"no file matches 'gone/\*\.csv'"),
    "a folder matches": ("*", r"'\*' matches the folder a; .*data/\*\.csv"),
    "nothing named": ([], "no file is named"),
    "named twice": (["y.csv", "*.csv"], r"y\.csv and y\.csv are the same file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_names_no_files_is_refused(tree: Path, case: str) -> None:
    named, message = REFUSED[case]
    with pytest.raises(SourceError, match=message):
        inputs.resolve(named)


def test_links_beneath_a_double_star_are_refused_by_name(
    tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    loop = tree / "a" / "loop"
    loop.symlink_to("..")
    with pytest.raises(SourceError, match=r"meets the link a/loop, which leads back to .* circle"):
        inputs.resolve("**/*.csv")
    loop.unlink()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    loop.symlink_to(elsewhere)
    with pytest.raises(SourceError, match=f"a/loop, which leads to {elsewhere}"):
        inputs.resolve("**/*.csv")
    assert uris("*/x.csv") == ["a/x.csv", "b/x.csv"]  # a star goes one level, as in a shell


def test_a_file_that_a_link_names_again_is_refused(tree: Path) -> None:
    (tree / "again.csv").symlink_to("y.csv")
    with pytest.raises(SourceError, match=r"again\.csv and y\.csv are the same file"):
        inputs.resolve("*.csv")


def test_links_that_lead_nowhere_are_refused_when_opened(tree: Path) -> None:
    (tree / "one.csv").symlink_to("two.csv")
    (tree / "two.csv").symlink_to("one.csv")
    (found, _, _) = inputs.resolve(["one.csv", "y.csv", "a/x.csv"])
    with pytest.raises(SourceError, match=r"one\.csv can't be read: Too many levels"):
        found.read()
    (tree / "lost.csv").symlink_to("gone.csv")
    (found,) = inputs.resolve("lost.*")
    with pytest.raises(SourceError, match=r"lost\.csv does not exist"):
        found.read()


@pytest.mark.skipif(os.geteuid() == 0, reason="root lists every folder")
def test_a_folder_that_cannot_be_listed_is_refused(tree: Path) -> None:
    (tree / "a").chmod(0)
    try:
        with pytest.raises(SourceError, match="the folder a can't be listed"):
            inputs.resolve("**/*.csv")
    finally:
        (tree / "a").chmod(0o755)


# -- URLs ------------------------------------------------------------------------------------------


@pytest.fixture
def memory() -> Iterator[object]:
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.pipe({"/in/a.csv": b"a\n1\n", "/in/b.csv": b"a\n2\n", "/in/deep/c.csv": b"a\n3\n"})
    yield system
    system.rm("/in", recursive=True)


def test_files_of_a_url(memory) -> None:
    (found,) = inputs.resolve("memory://in/a.csv")
    assert (found.uri, found.name) == ("memory://in/a.csv", "a.csv")
    data, stamp = found.read()
    assert data.tobytes() == b"a\n1\n"
    assert found.digest()[0] == hashlib.sha256(b"a\n1\n").hexdigest()
    assert stamp.vouches_for(found.stamp())
    memory.pipe("/in/a.csv", b"a\n2\n")
    assert not stamp.vouches_for(found.stamp())


def test_a_remote_file_that_changes_while_it_is_read_is_refused(
    memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = inputs.resolve("memory://in/a.csv")
    stamps = iter([{"ETag": "1"}, {"ETag": "2"}])
    monkeypatch.setattr(type(memory), "info", lambda *_, **__: next(stamps))
    with pytest.raises(SourceError, match=r"a\.csv changed while it was read"):
        found.read()


@pytest.mark.parametrize("chain", ["", "simplecache::"])
def test_globs_of_urls_are_sorted_and_open_again(memory, chain: str) -> None:
    found = inputs.resolve(f"{chain}memory://in/*.csv")
    assert [each.name for each in found] == ["a.csv", "b.csv"]
    again = [inputs.stored_input(each.path, each.name) for each in found]
    assert [each.read()[0].tobytes() for each in again] == [b"a\n1\n", b"a\n2\n"]


def test_a_file_system_of_the_users_own(memory) -> None:
    assert [each.name for each in inputs.resolve("in/**/*.csv", memory)] == [
        *("a.csv", "b.csv", "c.csv"),
    ]


def test_a_local_url_is_a_path(tree: Path) -> None:
    (found,) = inputs.resolve(f"file://{tree}/y.csv")
    assert found.path == str(tree / "y.csv")
    assert not found.is_remote


def test_urls_that_cannot_be(memory) -> None:
    for url, message in {
        "memory://in/*": "matches the folder /in/deep",
        "memory://in/*.tsv": "no file matches",
        "nosuch://a.csv": "Protocol not known: nosuch",
        "ftp://me:secret@host/a.csv": "a URL with a password can't name a source",
    }.items():
        with pytest.raises(SourceError, match=message):
            inputs.resolve(url)
    (found,) = inputs.resolve("memory://in/gone.csv")
    with pytest.raises(SourceError, match=r"gone\.csv does not exist"):
        found.read()


def test_without_fsspec_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: object) -> object:
        if name.startswith("fsspec"):
            raise ModuleNotFoundError("No module named 'fsspec'", name="fsspec")
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"install the extra \[remote\]"):
        inputs.resolve("memory://in/a.csv")


# -- what a saved lineage names --------------------------------------------------------------------


def test_a_saved_lineage_names_files_by_full_paths_only() -> None:
    assert inputs.stored_input("/data/a/x.csv", "a/x.csv").path == "/data/a/x.csv"
    for path, name in [
        ("data/x.csv", "x.csv"),
        ("../x.csv", "x.csv"),
        ("/data/../x.csv", "x.csv"),
        ("/etc/shadow", "x.csv"),
        ("/data/max.csv", "x.csv"),
        ("/data/x.csv", ""),
    ]:
        with pytest.raises(SourceError, match="damaged, or was altered"):
            inputs.stored_input(path, name)


def test_a_saved_lineage_connects_nowhere_on_its_own(
    memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_allowed", set())
    with pytest.raises(SourceError, match=r"allow_remote\('memory://in/'\)"):
        inputs.stored_input("memory://in/a.csv", "a.csv")
    remote.allow_remote("memory://in/")
    assert inputs.stored_input("memory://in/a.csv", "a.csv").read()[0].tobytes() == b"a\n1\n"
    for url in ("memory://other/a.csv", "memory://into/a.csv", "memory://in/../other/a.csv"):
        with pytest.raises(SourceError, match="allow_remote"):
            inputs.stored_input(url, "a.csv")
    with pytest.raises(SourceError, match="is no URL"):
        remote.allow_remote("/data")


def test_what_this_process_loaded_it_may_load_again(
    memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_allowed", set())
    inputs.resolve("memory://in/a.csv")
    assert inputs.stored_input("memory://in/a.csv", "a.csv").name == "a.csv"
    with pytest.raises(SourceError, match="allow_remote"):
        inputs.stored_input("memory://in/b.csv", "b.csv")


@pytest.mark.parametrize(
    "named", [3, None, b"a.csv", io.StringIO("a\n1\n"), ["a.csv", 3], "", "a\0"]
)
def test_what_is_no_path_is_refused(named: object) -> None:
    with pytest.raises(SourceError, match="is no path: name files by a path"):
        inputs.resolve(named)  # type: ignore[arg-type]


def test_paths_may_come_from_an_iterator(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    assert [each.name for each in inputs.resolve(tmp_path.glob("*"))] == ["a.csv"]  # type: ignore[arg-type]
