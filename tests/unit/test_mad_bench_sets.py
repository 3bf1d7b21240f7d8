import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from benchmarks.mad_bench_sets import map_names, severity_map, severity_set
from core.errors import BadInput

DATA = pathlib.Path(os.environ.get("TELLTALE_DATA", pathlib.Path(__file__).parents[3] / "shared" / "data"))


def photo(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 9, 3), value, np.uint8)).save(path)


def template(root, name, *lines, head="Path,Severity"):
    path = root / "mad_bench_severity" / f"{name}_template.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, *lines]) + "\n")


def cable(root):
    template(root, "mvtec_cable", "good_level_0/000.png,0.0", "bent_wire_level_1/000.png,1.0", "bent_wire_level_1/001.png,1.0",
             "cut_level_2/000.png,1.5")  # fmt: skip


def test_a_template_gives_kinds_and_levels_and_half_levels_are_rounded_up(tmp_path):
    cable(tmp_path)
    assert map_names(tmp_path) == ["mvtec_cable"]
    found = severity_map(tmp_path, "mvtec_cable")
    assert found.kinds == ("", "bent wire", "bent wire", "cut")
    assert found.levels.tolist() == [0, 1, 1, 2]


def test_photos_are_found_in_the_original_layout_with_other_endings_and_masks(tmp_path):
    cable(tmp_path)
    base = tmp_path / "mvtec_cable"
    photo(base / "train/good/000.jpg")
    for i, name in enumerate(("good/000", "bent_wire/000", "bent_wire/001", "cut/000")):
        photo(base / "test" / f"{name}.jpg", value=10 * i)
    photo(base / "ground_truth/cut/000_mask.png")
    found = severity_set(tmp_path, "mvtec_cable")
    assert [path.parent.name for path in found.test] == ["good", "bent_wire", "bent_wire", "cut"]
    assert [sample.pixels[0, 0, 0] // 9 for sample in found.tests()] == [0, 1, 2, 3]
    assert [mask is not None for mask in found.masks] == [False, False, False, True]
    assert len(found.normals()) == 1
    fewer = severity_set(tmp_path, "mvtec_cable", every=2)
    assert fewer.map.kinds == ("", "bent wire", "cut")
    assert fewer.map.levels.tolist() == [0, 1, 2]
    (base / "test/cut/000.jpg").unlink()
    with pytest.raises(BadInput, match="1 of 4 photos of the severity map are missing"):
        severity_set(tmp_path, "mvtec_cable")


def test_photos_are_found_as_mad_bench_lays_them_out(tmp_path):
    cable(tmp_path)
    base = tmp_path / "mad_bench/Industry/mvtec/cable"
    for name in ("train/good/000.png", "test/good_level_0/000.png", "test/bent_wire_level_1/000.png", "test/bent_wire_level_1/001.png",
                 "test/cut_level_2/000.png"):  # fmt: skip
        photo(base / name)
    assert len(severity_set(tmp_path, "mvtec_cable").test) == 4
    template(
        tmp_path, "multidog_teddy", "level_0_test/teddy/a.jpg,0,", "level_2/cats/b.jpg,2,", head="Path,Severity,Anomaly Score"
    )
    dogs = tmp_path / "mad_bench/OneClassNovelty/multidog"
    for name in ("level_0_train/teddy/n.jpg", "level_0_train/other/n.jpg", "level_0_test/teddy/a.jpg", "level_2/cats/b.jpg"):
        photo(dogs / name)
    found = severity_set(tmp_path, "multidog_teddy")
    assert found.map.kinds == ("", "cats")
    assert [path.parent.name for path in found.train] == ["teddy"]


def test_what_is_missing_or_damaged_is_said(tmp_path):
    with pytest.raises(BadInput, match="no severity map found"):
        map_names(tmp_path)
    with pytest.raises(BadInput, match="neither severity"):
        severity_map(tmp_path, "mvtec_cable")
    cable(tmp_path)
    with pytest.raises(BadInput, match="photos of 'mvtec_cable' not found"):
        severity_set(tmp_path, "mvtec_cable")
    for line in ("good_level_0/000.png,", "good_level_0/000.png,-1", ",2", "good_level_0/000.png,nan"):
        template(tmp_path, "mvtec_pill", "good_level_0/001.png,0", line)
        with pytest.raises(BadInput, match="line 3: expected Path and Severity"):
            severity_map(tmp_path, "mvtec_pill")
    template(tmp_path, "mvtec_pill")
    with pytest.raises(BadInput, match="at least one row"):
        severity_map(tmp_path, "mvtec_pill")


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "mvtec_bottle").is_dir(), reason="real data set mvtec_bottle not found under TELLTALE_DATA")
def test_the_bottles_own_levels_are_those_of_the_template():
    found = severity_set(DATA, "mvtec_bottle")
    assert np.bincount(found.map.levels).tolist() == [20, 21, 22, 20]
    assert {(kind, int(level)) for kind, level in zip(found.map.kinds, found.map.levels, strict=True)} == {
        ("", 0), ("contamination", 1), ("broken small", 2), ("broken large", 3)
    }  # fmt: skip
    assert (len(found.train), sum(mask is not None for mask in found.masks)) == (209, 63)
