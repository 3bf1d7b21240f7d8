"""The front door: what is a source, what is refused and how it is said, hostile names, folders, mislabelled files."""

import hashlib
import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.errors import BadInput, UnknownName
from readers.names import distinct, shown_name, shown_relative
from readers.open import open_all, open_path
from readers.source import sha256_list

SERIES = "t,x\n" + "".join(f"{k},{k % 5}\n" for k in range(20))
EVENTS = "user,action,file\n" + "".join(f"{'ann' if k % 3 else 'bob'},read,/srv/{k % 4}\n" for k in range(20))


def save_photo(path, seed=0):
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 20, 3), dtype=np.uint8)).save(path)
    return path


def test_everything_dropped_at_once(tmp_path):
    save_photo(tmp_path / "a.png")
    save_photo(tmp_path / "b.png", 1)
    (tmp_path / "s.csv").write_text(SERIES)
    (tmp_path / "e.csv").write_text(EVENTS)
    (tmp_path / "bad.csv").write_text("")
    (tmp_path / "more").mkdir()
    save_photo(tmp_path / "more" / "c.png", 2)
    opened = open_all([tmp_path / n for n in ("s.csv", "a.png", "bad.csv", "e.csv", "b.png", "more", "gone.png")])
    assert [(s.kind, s.name, len(s.samples)) for s in opened.sources] == [
        ("series", "s.csv", 1),
        ("image", "2 photos", 2),
        ("events", "e.csv", 1),
        ("image", "more", 1),
    ]
    assert [r.name for r in opened.refused] == ["bad.csv", "gone.png"]
    assert all(r.message.startswith(r.name) for r in opened.refused)
    for source in opened.sources:
        json.dumps(dict(source.summary))


def test_the_hash_is_that_of_the_content(tmp_path):
    file = save_photo(tmp_path / "a.png")
    sha = hashlib.sha256(file.read_bytes()).hexdigest()
    assert open_path(file).sha256 == sha
    assert open_path(tmp_path).sha256 == sha256_list([("a.png", sha)])
    (tmp_path / "s.csv").write_text(SERIES)
    assert open_path(tmp_path / "s.csv").sha256 == hashlib.sha256(SERIES.encode()).hexdigest()


def test_one_bad_photo_does_not_spoil_the_rest(tmp_path):
    for k in range(3):
        save_photo(tmp_path / f"{k}.png", k)
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:200])
    opened = open_all([tmp_path / f"{k}.png" for k in range(3)])
    assert opened.sources[0].samples.names == ("0.png", "2.png")
    assert [r.name for r in opened.refused] == ["1.png"]
    only = open_all([tmp_path / "1.png"])
    assert not only.sources
    assert len(only.refused) == 1


@pytest.mark.parametrize(
    ("name", "form", "kind"),
    [
        ("clip.mp4", "PNG", "image"),
        ("table.csv", "JPEG", "image"),
        ("photo.jpg", "text", "series"),
        ("photo.png", "JPEG", "image"),
    ],
)
def test_mislabelled_files_open_as_what_they_are(tmp_path, name, form, kind):
    if form == "text":
        (tmp_path / name).write_text(SERIES)
    else:
        Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / name, format=form)
    source = open_path(tmp_path / name)
    assert source.kind == kind
    assert any("is named like" in n for n in source.notes)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"%PDF-1.7 ...", "PDF"),
        (b"PK\x03\x04" + bytes(50), "archive"),
        (b"\x1f\x8b" + bytes(50), "unpack"),
        (b"MZ" + bytes(100), "program"),
        (b"\x80\x04\x95" + bytes(40), "pickle"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5"),
        (bytes(5000), "zero bytes"),
        (os.urandom(0) + bytes(range(256)) * 20, "no known kind"),
        (b"", r"empty file \(0 bytes\): export it again or choose another"),
        (b"<!DOCTYPE html><html><body>1,2</body></html>", "web page"),
        (b"\xef\xbb\xbf  <HTML>", "web page"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b'<?xml version="1.0"?>\n<!-- by hand -->\n<svg/>', "SVG"),
        (b'<?xml version="1.0"?>\n<a><b>1</b></a>', "XML document"),
        (b"#EXTM3U\n#EXTINF:10,\n/etc/passwd\n", "play list"),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "play list"),
        (b"MATLAB 5.0 MAT-file" + bytes(99), "MATLAB"),
    ],
)
@pytest.mark.parametrize("name", ["x.bin", "x.png", "x.csv", "x"])
def test_what_cannot_be_read_is_named(tmp_path, data, message, name):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInput, match=message) as caught:
        open_path(tmp_path / name)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wanted", ["image", "points", "video", "series", "events"])
def test_a_wrong_kind_is_one_sentence(tmp_path, wanted):
    save_photo(tmp_path / "a.png")
    (tmp_path / "s.csv").write_text(SERIES)
    for name, fits in (("a.png", {"image"}), ("s.csv", {"series", "events"})):
        if wanted in fits:
            assert open_path(tmp_path / name, kind=wanted).kind == wanted
        else:
            with pytest.raises(BadInput, match=rf"^{name}: expected"):
                open_path(tmp_path / name, kind=wanted)
            refused = open_all([tmp_path / name], kind=wanted).refused
            assert len(refused) == 1


def test_unknown_kind(tmp_path):
    with pytest.raises(UnknownName, match="Unknown kind 'pictures'"):
        open_path(tmp_path, kind="pictures")


NASTY = [
    "*.csv",
    "[a-z]?.csv",
    "{0}.csv",
    "<script>alert(1)<∕script>.csv",
    "a\nb\x1b[31m.csv",
    "\u202egpj.csv",
    "😀 写真 Ωmega.csv",
    "x" * 251 + ".csv",
    "$(rm -rf ~).csv",
    "%00%2e%2e.csv",
    "-rf.csv",
    "a'b\"c`d.csv",
    " .csv",
    "con.csv",
    "concat:a|b.csv",
]


@pytest.mark.parametrize("name", NASTY)
def test_hostile_names_open_and_are_shown_harmlessly(tmp_path, name):
    file = tmp_path / name
    file.write_text(SERIES)
    for source in (open_path(file), *open_all([file]).sources, open_path(tmp_path)):
        for text in (source.name, *(s.name for s in source.samples), *source.notes):
            assert "<" not in text
            assert not any(ord(c) < 32 or 0x202A <= ord(c) <= 0x202E for c in text)
            assert not text.startswith("/")
    file.write_text("")
    assert "<" not in open_all([file]).refused[0].message


def test_a_name_that_is_no_text(tmp_path):
    file = os.fsencode(tmp_path) + b"/bad\xff\xfe.csv"
    with open(file, "w") as out:
        out.write(SERIES)
    source = open_path(os.fsdecode(file))
    assert source.name == "bad\ufffd\ufffd.csv"
    source.name.encode()


@given(st.text(max_size=60))
def test_shown_names_never_hold_folders_controls_or_markup(raw):
    name = shown_name(raw)
    assert name
    assert not set("/<>\n\r\x00\x1b\u202e\u2066") & set(name)
    assert shown_name(name) == name


@given(st.lists(st.sampled_from(["a", "b", "a (2)", "b (2)", "c"]), max_size=12))
def test_names_of_samples_are_distinct(names):
    result = distinct(names)
    assert len(set(result)) == len(names)
    assert all(r.startswith(n) for r, n in zip(result, names, strict=True))


def test_relative_names(tmp_path):
    assert shown_relative(tmp_path / "a<b" / "c\n.png", tmp_path) == "a‹b/c.png"


def test_paths_that_are_none():
    opened = open_all(["", "no/such/file.png", "a\0b", "x" * 5000, "/dev/null"])
    assert not opened.sources
    assert len(opened.refused) == 5
    assert all(r.message and "\n" not in r.message for r in opened.refused)


def test_folders(tmp_path):
    with pytest.raises(BadInput, match="holds no files"):
        open_path(tmp_path)
    (tmp_path / "readme.md").write_text("# about\n\nwords, words and more words\n")
    with pytest.raises(BadInput):
        open_path(tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "a").mkdir()
    for sub in "ba":
        for k in (2, 1):
            save_photo(tmp_path / sub / f"{k}.png", k)
    (tmp_path / ".hidden.png").write_bytes(b"junk")
    (tmp_path / "Thumbs.db").write_bytes(b"junk")
    (tmp_path / "one.csv").write_text(SERIES)
    source = open_path(tmp_path)
    assert source.samples.names == ("a/1.png", "a/2.png", "b/1.png", "b/2.png")
    assert source.notes[0] == "Left out: 1 file of another kind ('one.csv')."
    assert open_all([tmp_path]).refused == ()
    assert open_path(tmp_path, kind="series").summary["rows"] == 20
    assert open_path(f"{tmp_path}/a/..").name == tmp_path.name
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "s.csv").write_text(SERIES)
    with pytest.raises(BadInput, match="nothing of the kind 'video'"):
        open_path(tmp_path / "only", kind="video")


def test_a_mixed_folder_opens_as_what_most_of_its_files_are(tmp_path):
    for k in range(2):
        (tmp_path / f"s{k}.csv").write_text(SERIES)
    save_photo(tmp_path / "a.png")
    (tmp_path / "scan.ply").write_bytes(
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\nend_header\n1 2 3\n"
    )
    source = open_path(tmp_path)
    assert (source.kind, len(source.samples)) == ("series", 2)
    assert source.notes[0] == "Left out: 2 files of another kind ('a.png', 'scan.ply')."


def test_a_few_zero_bytes_in_a_text_are_passed_over(tmp_path):
    text = "t,x\n" + "".join(f"{k},{k}.5\n" for k in range(900))
    whole = text.encode()
    for name, data in (("early.csv", whole[:2000] + bytes(3) + whole[2000:]), ("late.csv", whole + bytes(40))):
        (tmp_path / name).write_bytes(data)
        source = open_path(tmp_path / name)
        assert (source.kind, source.summary["rows"], source.summary["missing_share"]) == ("series", 900, 0.0)
        assert any("zero bytes in the text were passed over" in n for n in source.notes)
    lines = "".join(json.dumps({"user": "ann" if k % 3 else "bob", "action": "read", "file": k % 4}) + "\n" for k in range(200))
    (tmp_path / "e.jsonl").write_bytes(lines.encode()[:3000] + bytes(2) + lines.encode()[3000:])
    source = open_path(tmp_path / "e.jsonl")
    assert (source.kind, source.summary["rows"]) == ("events", 200)
    assert any("2 zero bytes" in n for n in source.notes)


def test_links_do_not_lead_out_of_a_folder(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    save_photo(outside / "secret.png")
    inside = tmp_path / "inside"
    inside.mkdir()
    save_photo(inside / "a.png", 1)
    (inside / "link.png").symlink_to(outside / "secret.png")
    (inside / "folder").symlink_to(outside)
    (inside / "loop").symlink_to(inside)
    assert open_path(inside).samples.names == ("a.png",)


def test_an_unexpected_error_of_a_library_is_one_sentence(tmp_path, monkeypatch, caplog):
    (tmp_path / "s.csv").write_text(SERIES)

    def explode(*_args, **_options):
        raise ZeroDivisionError("inside a library")

    monkeypatch.setattr("readers.tabular.open_text_table", explode)
    with pytest.raises(BadInput, match=r"^s\.csv: it could not be opened"):
        open_path(tmp_path / "s.csv")
    assert "ZeroDivisionError" in caplog.text


def test_too_many_files_at_once():
    opened = open_all([f"{k}.png" for k in range(6000)])
    assert len(opened.refused) == 1
    assert "6,000 files" in opened.refused[0].message
