"""Equal content has one hash, whatever its order; different content has different ones."""

from pathlib import Path
from typing import Any

import pytest

from steps.core.hashing import canonical, sha256_of, sha256_of_files


def test_the_order_of_keys_changes_nothing() -> None:
    assert sha256_of({"b": {"y": 1, "x": 2}, "a": 3}) == sha256_of({"a": 3, "b": {"x": 2, "y": 1}})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2], [2, 1]),
        ("7", 7),
        (1, 1.0),
        (None, "None"),
        ({}, {"a": None}),
        (True, "true"),
        ("é", "e\u0301"),
        ("a", "a "),
        (["ab"], ["a", "b"]),
        (0.1, 0.1 + 1e-16),
    ],
)
def test_different_content_differs(one: Any, other: Any) -> None:
    assert sha256_of(one) != sha256_of(other)


def test_what_was_hashed_by_an_earlier_version_keeps_its_hash() -> None:
    assert canonical({"ñ": [1, None, 0.5]}) == '{"ñ":[1,null,0.5]}'
    assert sha256_of({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


def test_text_that_is_no_text_has_a_hash_too() -> None:
    assert sha256_of("\ud83d") != sha256_of("\ud83e")


def test_a_folder_is_hashed_by_names_and_bytes_not_by_place_or_order(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        (folder / "a.py").write_bytes(b"a\r\n")
        (folder / "b.py").write_bytes(b"b")
    one, two = ([folder / "a.py", folder / "b.py"] for folder in folders)
    assert sha256_of_files(one) == sha256_of_files(two[::-1])
    before = sha256_of_files(two)
    two[0].write_bytes(b"a\n")
    assert sha256_of_files(two) != before
    assert sha256_of_files(one[:1]) != sha256_of_files(one)
    renamed = one[1].rename(folders[0] / "c.py")
    assert sha256_of_files([one[0], renamed]) != before
