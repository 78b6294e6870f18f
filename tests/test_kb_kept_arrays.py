"""Arrays that are kept between processes: mapped when nothing changed, made anew when something did, never trusted blindly."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from kb.kept_arrays import cache_folder, drop_kept, kept_arrays


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PRLORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    def __init__(self, value: int) -> None:
        self.value = value
        self.calls = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.calls += 1
        return {"numbers": np.full(5, self.value, np.int32), "none": np.zeros(0, np.float32)}


def files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*.npy"))


def test_made_once_and_mapped_after(own_cache):
    make = Maker(3)
    first = kept_arrays("kb", "words", "1", make)
    again = kept_arrays("kb", "words", "1", make)
    assert make.calls == 1
    assert isinstance(again["numbers"], np.memmap)
    assert all(np.array_equal(first[n], again[n]) for n in ("numbers", "none"))
    assert len(files(own_cache)) == 2
    assert os.stat(own_cache / "arrays").st_mode & 0o077 == 0 or os.name == "nt"


def test_a_new_version_replaces_the_old_one(own_cache):
    kept_arrays("kb", "words", "1", Maker(3))
    kept_arrays("kb", "columns", "1", Maker(5))
    assert kept_arrays("kb", "words", "2", Maker(4))["numbers"][0] == 4
    assert len(files(own_cache)) == 4  # two names, one version each
    assert kept_arrays("kb", "columns", "1", Maker(6))["numbers"][0] == 5


def test_stores_do_not_share(own_cache):
    assert kept_arrays("one", "words", "1", Maker(1))["numbers"][0] == 1
    assert kept_arrays("s3://two", "words", "1", Maker(2))["numbers"][0] == 2
    drop_kept("one")
    assert kept_arrays("one", "words", "1", Maker(9))["numbers"][0] == 9
    assert kept_arrays("s3://two", "words", "1", Maker(9))["numbers"][0] == 2


@pytest.mark.parametrize(
    "damage", [lambda p: p.write_bytes(b""), lambda p: p.write_bytes(p.read_bytes()[:-3]), Path.unlink]
)
def test_damaged_files_are_made_anew(own_cache, damage):
    kept_arrays("kb", "words", "1", Maker(3))
    for path in files(own_cache):
        damage(path)
    make = Maker(3)
    assert kept_arrays("kb", "words", "1", make)["numbers"].tolist() == [3] * 5
    assert make.calls == 1


def test_pickles_are_never_read(own_cache):
    kept_arrays("kb", "words", "1", Maker(3))
    for path in files(own_cache):
        np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    make = Maker(3)
    assert kept_arrays("kb", "words", "1", make)["numbers"].tolist() == [3] * 5
    assert make.calls == 1


def test_no_version_and_no_place_mean_no_cache(own_cache, tmp_path, monkeypatch):
    make = Maker(1)
    kept_arrays("kb", "words", "", make)
    kept_arrays("kb", "words", "", make)
    assert make.calls == 2
    assert files(own_cache) == []
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PRLORE_CACHE", str(tmp_path / "file" / "below"))
    assert kept_arrays("kb", "words", "1", make)["numbers"][0] == 1


def test_few_stores_are_kept(own_cache):
    for i in range(9):
        kept_arrays(f"s3://store/{i}", "words", "1", Maker(i))
    assert len(list((own_cache / "arrays").iterdir())) == 6
    assert cache_folder() == own_cache
