"""Rules on real data, against the same counted another way: attack captures, a water loop, servers, photos of bottles."""

import os
import pathlib
import re

import numpy as np
import polars as pl
import pytest

from agent.rules.compile import compile_rule
from agent.rules.evaluate import Material, evaluate
from readers.open import open_path

DATA = pathlib.Path(os.environ.get("TELLTALE_DATA", pathlib.Path(__file__).parents[4] / "shared" / "data"))
LSASS = ("lsass01_mimikatz", "lsass02_procdump", "lsass03_comsvcs", "lsass04_outminidump")


def needs(name):
    return pytest.mark.skipif(not (DATA / name).exists(), reason=f"real data set {name} not found under TELLTALE_DATA")


pytestmark = pytest.mark.data


def fired(text, source):
    return evaluate(compile_rule(text).definition, Material.of(source))


def raw(path):
    return pl.read_parquet(path).with_columns(pl.col(pl.Categorical).cast(pl.String)).with_row_index("row", 1)


@needs("otrf_sysmon")
@pytest.mark.parametrize("name", LSASS)
def test_who_read_lsass(name):
    path = DATA / "otrf_sysmon" / f"{name}.parquet"
    outcome = fired("any process reading lsass is critical", open_path(path))
    table = raw(path).filter(
        (pl.col("op") == "access_process") & pl.col("obj_name").str.to_lowercase().str.ends_with("lsass.exe")
    )
    able = [row for row, mask in table.select("row", "detail").rows() if int(mask, 16) & 0x10]
    assert sorted(r for f in outcome.findings for r in f.locus.rows) == able
    attack = set(table.filter(pl.col("key") == 1)["row"].to_list())
    assert attack & set(able)


@needs("otrf_sysmon")
@pytest.mark.parametrize("name", LSASS)
def test_more_than_twenty_deletes_within_a_minute(name):
    path = DATA / "otrf_sysmon" / f"{name}.parquet"
    source = open_path(path)
    outcome = fired("more than 20 file deletes within a minute is an anomaly", source)
    table = raw(path).filter(pl.col("op") == "delete_file")
    when = dict(source.samples[0].table.select("row", "time_s").rows())
    times = sorted((when[row], row) for row in table["row"].to_list())
    wanted = set()
    for i, (start, _) in enumerate(times):
        window = [row for t, row in times[i:] if t < start + 60]
        wanted |= set(window) if len(window) > 20 else set()
    assert {r for f in outcome.findings for r in f.locus.rows} == wanted
    assert wanted


@needs("otrf_sysmon")
def test_who_started_powershell():
    remote = open_path(DATA / "otrf_sysmon" / "lat_purplesharp_ad_playbook.parquet")
    assert len(fired("powershell started by wsmprovhost.exe is critical", remote).findings) == 3
    assert not fired("powershell started by a document viewer is critical", remote).findings
    upkeep = open_path(DATA / "otrf_sysmon" / "lsass01_mimikatz.parquet")
    [found] = fired("powershell started by compattelrunner.exe is fine", upkeep).findings
    assert "Write-Host 'Final result: 1'" in found.sentence


@needs("otrf_sysmon")
def test_what_descends_from_the_payload_is_of_the_attack():
    path = DATA / "otrf_sysmon" / "lsass01_mimikatz.parquet"
    outcome = fired("any process descending from winx64_payload.exe is suspicious", open_path(path))
    label = dict(raw(path).select("row", "label").rows())
    rows = [r for f in outcome.findings for r in f.locus.rows]
    assert len(rows) > 50
    assert np.mean([label[r] for r in rows]) > 0.95


@needs("otrf_sysmon")
def test_who_else_opened_lsass():
    path = DATA / "otrf_sysmon" / "lsass01_mimikatz.parquet"
    outcome = fired("anyone but svchost.exe opening lsass.exe", open_path(path))
    name = pl.col("subj_image").str.to_lowercase()
    wanted = raw(path).filter(
        (pl.col("op") == "access_process")
        & pl.col("obj_name").str.to_lowercase().str.ends_with("lsass.exe")
        & ~name.str.ends_with("\\svchost.exe")
    )
    assert outcome.events == wanted.height > 100
    assert len(outcome.findings) == wanted.select("subj_guid", "obj_id").n_unique()
    normal = fired("svchost.exe opening lsass.exe is fine", open_path(path))
    both = raw(path).filter((pl.col("op") == "access_process") & pl.col("obj_name").str.to_lowercase().str.ends_with("lsass.exe"))
    assert outcome.events + normal.events == both.height


@needs("otrf_sysmon")
def test_executables_that_lie_elsewhere_and_ports():
    path = DATA / "otrf_sysmon" / "lsass01_mimikatz.parquet"
    source, table = open_path(path), raw(path)
    thing = pl.col("obj_name").str.to_lowercase()
    starts = table.filter((pl.col("op") == "create_process") & thing.str.ends_with(".exe"))
    elsewhere = starts.filter(~thing.str.contains("\\windows\\system32\\", literal=True))
    rows = [r for f in fired("any .exe started from outside System32", source).findings for r in f.locus.rows]
    assert sorted(rows) == elsewhere["row"].to_list()
    assert rows
    dcom = DATA / "otrf_sysmon" / "lat_covenant_dcom_dllhijack.parquet"
    web = raw(dcom).filter((pl.col("op") == "connect") & thing.str.ends_with(":443"))
    assert fired("any connection to port 443", open_path(dcom)).events == web.height > 0


@needs("otrf_sysmon")
@pytest.mark.parametrize(("count", "seconds"), [(3, 60.0), (2, 10.0)])
def test_different_addresses_in_a_window(count, seconds):
    path = DATA / "otrf_sysmon" / "lat_purplesharp_ad_playbook.parquet"
    source = open_path(path)
    outcome = fired(f"a process connecting to at least {count} different addresses within {seconds:g} s", source)
    when = dict(source.samples[0].table.select("row", "time_s").rows())
    wanted = set()
    connects = raw(path).filter(pl.col("op") == "connect")
    for (_,), rows in connects.group_by(["subj_guid"]):
        acts = sorted((when[row], row, name.rpartition(":")[0]) for row, name in rows.select("row", "obj_name").rows())
        for start, _, _ in acts:
            inside = [a for a in acts if start <= a[0] < start + seconds]
            if len({address for _, _, address in inside}) >= count:
                wanted |= {row for _, row, _ in inside}
    assert {r for f in outcome.findings for r in f.locus.rows} == wanted


@needs("skab")
def test_a_rise_within_rows_while_another_channel_is_low():
    source = open_path(DATA / "skab" / "skab.parquet")
    outcome = fired("Current rises by more than 1 within 5 rows while Volume Flow RateRMS is below 100", source)
    wanted = set()
    for series in source.samples:
        current, flow = (
            series.values[:, series.channels.index(c)].astype(np.float64) for c in ("Current", "Volume Flow RateRMS")
        )
        for i in range(1, len(current)):
            rise = current[i] - current[max(0, i - 4) : i + 1].min()
            if np.float32(rise) > 1 and flow[i] < 100:
                wanted.add((series.name, float(series.time_s[i])))
    found = set()
    for finding in outcome.findings:
        [series] = [s for s in source.samples if s.name == finding.locus.sample]
        inside = (series.time_s >= finding.locus.start_s) & (series.time_s < finding.locus.end_s)
        found |= {(series.name, float(t)) for t in series.time_s[inside]}
    assert found == wanted
    assert wanted


@needs("skab")
def test_one_channel_against_another_at_a_time_of_day():
    source = open_path(DATA / "skab" / "skab.parquet")
    outcome = fired("Temperature must be at least 44 above Thermocouple between 13:00 and 15:00", source)
    wanted = 0
    for series in source.samples:
        warm, cold = (series.values[:, series.channels.index(c)].astype(np.float64) for c in ("Temperature", "Thermocouple"))
        of_day = (series.time_s + series.epoch_s) % 86_400
        wanted += int(((np.float32(warm - cold) < 44) & (of_day >= 13 * 3600) & (of_day < 15 * 3600)).sum())
    assert sum(f.facts["rows"] for f in outcome.findings) == wanted > 0


@needs("smd")
def test_readings_that_stay_the_same():
    source = open_path(DATA / "smd" / "machine-1-6.npz")
    [series] = source.samples
    outcome = fired("any sensor not changing for 500 rows", source)
    wanted = []
    for channel, values in zip(series.channels, series.values.T, strict=True):
        start = 0
        for i in range(1, len(values) + 1):
            if i == len(values) or values[i] != values[start]:
                wanted += [(channel, float(start))] if i - start >= 500 else []
                start = i
    assert sorted((f.locus.channels[0], f.locus.start_s) for f in outcome.findings) == sorted(wanted)
    assert len(wanted) > 5


@needs("skab")
def test_a_threshold_for_a_time_on_the_water_loop():
    source = open_path(DATA / "skab" / "skab.parquet")
    outcome = fired("flow below 30 for more than 10 seconds is an anomaly", source)
    wanted = []
    for series in source.samples:
        values = series.values[:, series.channels.index("Volume Flow RateRMS")]
        start = None
        for i, (t, v) in enumerate(zip(series.time_s, values, strict=True)):
            after = series.time_s[i + 1] if i + 1 < len(values) else t + series.period_s
            low = v < np.float32(30)
            start = (t if start is None else start) if low else None
            ends = start is not None and (
                i + 1 == len(values) or not values[i + 1] < np.float32(30) or after - t > 3 * series.period_s
            )
            if ends:
                end = min(after, t + series.period_s)
                wanted += [(series.name, start, end)] if end - start > 10 else []
                start = None
    assert [(f.locus.sample, f.locus.start_s, f.locus.end_s) for f in outcome.findings] == wanted
    assert len(wanted) > 5


@needs("skab")
def test_holes_in_the_recording_are_one_finding_each():
    source = open_path(DATA / "skab" / "skab.parquet")
    outcome = fired("no readings for more than 3 seconds is an anomaly", source)
    holes = [(s.name, float(a)) for s in source.samples for a, b in zip(s.time_s, s.time_s[1:], strict=False) if b - a > 3]
    assert [(f.locus.sample, f.locus.start_s) for f in outcome.findings] == holes
    assert holes


@needs("smd")
def test_readings_in_a_row_on_a_server():
    source = open_path(DATA / "smd" / "machine-1-6.npz")
    outcome = fired("any sensor above 0.9 for 30 readings in a row is an anomaly", source)
    wanted = 0
    for values in source.samples[0].values.T:
        runs = re.findall("1{30,}", "".join("1" if v > np.float32(0.9) else "0" for v in values))
        wanted += len(runs)
    assert len(outcome.findings) == wanted > 10
    assert "no time column" in fired("channel_0 above 0.5 for 10 seconds is bad", source).cannot[0].reason


@needs("mvtec_bottle")
def test_a_thing_is_seen_and_a_state_is_not_guessed():
    from agent.rules.evaluate import Material
    from readers.open import open_all

    photos = sorted((DATA / "mvtec_bottle" / "test" / "good").glob("*"))[:4]
    [source] = open_all(photos).sources
    material = Material.of(source)
    assert len(evaluate(compile_rule("a bottle is an anomaly").definition, material).findings) == 4
    for text in ("a dog is an anomaly", "a bicycle is an anomaly", "a laptop is an anomaly"):
        assert not evaluate(compile_rule(text).definition, material).findings
    for text in ("a broken bottle is an anomaly", "a bottle without a cap is a defect", "a dirty bottle is critical"):
        outcome = evaluate(compile_rule(text).definition, material)
        assert not outcome.findings
        assert "without a model that sees" in outcome.cannot[0].reason
