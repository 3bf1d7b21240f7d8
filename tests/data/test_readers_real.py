"""The readers on the real data sets: what is in them, as their own documents say, and how long opening takes."""

import os
import pathlib
import time

import numpy as np
import polars as pl
import pytest

from readers.open import open_path

DATA = pathlib.Path(os.environ.get("TELLTALE_DATA", pathlib.Path(__file__).parents[3] / "shared" / "data"))


def needs(name):
    mark = pytest.mark.skipif(not (DATA / name).is_dir(), reason=f"real data set {name} not found under TELLTALE_DATA")
    return lambda test: pytest.mark.data(mark(test))


@needs("avenue")
def test_avenue_videos_have_as_many_frames_as_labels():
    source = open_path(DATA / "avenue" / "testing_videos")
    assert source.kind == "video"
    for clip in source.samples:
        labels = (DATA / "avenue" / "testing_videos" / clip.name.replace(".avi", "_frame_label.txt")).read_text().split()
        assert clip.n_frames == len(labels)
        assert (clip.height, clip.width, clip.fps) == (360, 640, 25.0)
    clip = min(source.samples, key=lambda c: c.n_frames)
    frames = [f.number for f in clip.frames(max_side=64)]
    assert frames == list(range(clip.n_frames))


@needs("ucf_crime_clips")
def test_cctv_clip_times():
    clip = open_path(DATA / "ucf_crime_clips" / "RoadAccidents002_x264.mp4").samples[0]
    frames = list(clip.frames(start_s=5.0, end_s=6.0, step=3, max_side=160))
    assert [f.number for f in frames] == list(range(150, 180, 3))
    assert frames[0].time_s == pytest.approx(5.0)
    assert frames[0].rgb.shape == (120, 160, 3)


@needs("gmdcsa24_falls")
def test_variable_rate_phone_clips():
    source = open_path(DATA / "gmdcsa24_falls")
    assert source.kind == "video"
    assert len(source.samples) == 7
    clip = next(c for c in source.samples if c.name == "Subject_3_Fall_19.mp4")
    times = [f.time_s for f in clip.frames(max_side=32)]
    assert len(times) == clip.n_frames == 86
    assert (np.diff(times) > 0).all()
    assert np.diff(times).std() > 1e-3  # the steps really differ
    assert times[-1] < clip.duration_s < times[-1] + 0.2


@needs("mvtec_bottle")
def test_product_photos_are_photos():
    source = open_path(DATA / "mvtec_bottle" / "train" / "good")
    assert source.kind == "image"
    assert source.summary["sizes"] == [{"height": 450, "width": 450, "n": 209}]
    assert source.samples.names[0] == "000.png" or source.samples.names[0].startswith("000")


@needs("magnetic_tile")
def test_grey_photos_of_many_sizes():
    source = open_path(DATA / "magnetic_tile" / "test")
    assert len(source.samples) == 150
    assert all(s.pixels.shape[2] == 3 for s in source.samples[::15])
    assert source.samples.names[0].count("/") == 1


@needs("mvtec3d_cable_gland")
def test_scans_come_with_their_pictures():
    source = open_path(DATA / "mvtec3d_cable_gland")
    assert source.kind == "points"
    assert len(source.samples) == 29
    sample = source.samples[20]
    assert sample.xyz.shape == (400, 400, 3)
    assert sample.rgb is not None
    assert 0.2 < sample.valid.mean() < 0.9


@needs("smd")
@needs("msl")
@needs("nab")
@needs("skab")
def test_series_sets_and_their_labels():
    assert open_path(DATA / "smd" / "machine-1-6.npz").samples[0].values.shape == (23689, 38)
    msl = open_path(DATA / "msl" / "msl.npz")
    assert len(msl.samples) == 27
    assert sum(len(s.values) for s in msl.samples) == 73_729
    nab = open_path(DATA / "nab" / "nab.parquet")
    assert len(nab.samples) == 58
    assert all(s.channels == ("value",) for s in nab.samples)
    skab = open_path(DATA / "skab" / "skab.parquet")
    assert all(len(s.channels) == 8 for s in skab.samples)
    assert skab.samples[0].time_base == "clock"


@needs("otrf_sysmon")
def test_sysmon_roles_rows_and_no_labels():
    path = DATA / "otrf_sysmon" / "lsass01_mimikatz.parquet"
    source = open_path(path)
    assert source.summary["roles"] == {
        "subject": "subj_image", "operation": "op", "object": "obj_name", "subject_id": "subj_guid", "object_id": "obj_id",
        "object_type": "obj_type", "host": "host", "user": "subj_user", "detail": "detail",
    }  # fmt: skip
    table = source.samples[0].table
    raw = pl.read_parquet(path)
    assert table.height == raw.height == 47_906
    assert not {"attr:label", "attr:key", "attr:harness", "attr:rule", "attr:scenario", "label"} & set(table.columns)
    back = raw[(table["row"] - 1).cast(pl.UInt32)]
    assert (back["subj_image"].cast(pl.String).fill_null("") == table["subject"]).all()
    assert (np.diff(table["time_s"].to_numpy()) >= 0).all()


@needs("loghub_2k")
def test_structured_logs_have_times_and_templates():
    for path in sorted((DATA / "loghub_2k").glob("*.parquet")):
        log = open_path(path).samples[0]
        assert log.roles["operation"] == "EventTemplate", path.name
        assert not np.isnan(log.table["time_s"].to_numpy()).any(), path.name
        assert log.table["time_s"].max() > 10, path.name
        assert not [c for c in log.attributes if "label" in c.lower() or "alert" in c.lower()], path.name


@needs("nsl_kdd")
@needs("categorical_adrepo")
@needs("adfa_ld")
def test_tables_of_categories_are_events_without_labels():
    for name in (
        "nsl_kdd/test",
        "categorical_adrepo/bank",
        "categorical_adrepo/chess",
        "categorical_adrepo/kdd99_probe",
        "adfa_ld/adfa_ld",
    ):
        source = open_path(DATA / f"{name}.parquet")
        assert source.kind == "events", name
        assert not [
            a for a in source.samples[0].attributes if a in ("attr:label", "attr:attack", "attr:attack_type", "attr:category")
        ], name


@needs("otrf_sysmon")
@needs("avenue")
@needs("nab")
def test_opening_is_quick():
    limits = {"otrf_sysmon/lsass01_mimikatz.parquet": 2.0, "avenue/testing_videos/08.avi": 2.0, "nab/nab.parquet": 4.0}
    open_path(DATA / "nab" / "nab.parquet")  # imports
    for name, seconds in limits.items():
        started = time.process_time()
        open_path(DATA / name)
        assert time.process_time() - started < seconds, name
