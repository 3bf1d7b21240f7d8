"""Event logs: roles by name and content, JSON, syslog, auditd, Sysmon, labels kept out, order and rows."""

import datetime as dt
import json

import numpy as np
import polars as pl
import pytest

import core.settings
from core.errors import BadInput, UnknownName
from readers.open import open_all, open_path
from readers.text_logs import template

T0 = dt.datetime(2024, 5, 1, 10, tzinfo=dt.UTC)


def log_of(tmp_path, text, name="log.csv", **options):
    (tmp_path / name).write_text(text)
    source = open_path(tmp_path / name, **options)
    assert source.kind == "events"
    return source.samples[0]


def rows_of(log, *columns):
    return log.table.select(columns).rows()


def table_text(count=40):
    lines = ["time,user,action,file,bytes,label,attack"]
    for k in range(count):
        stamp = f"{T0 + dt.timedelta(seconds=k):%Y-%m-%d %H:%M:%S}"
        lines.append(f"{stamp},{'ann' if k % 3 else 'bob'},{'read' if k % 5 else 'write'},/srv/{k % 7},{k * 10},{k % 2},none")
    return "\n".join(lines) + "\n"


def test_a_plain_event_table(tmp_path):
    log = log_of(tmp_path, table_text())
    assert log.roles == {"subject": "user", "operation": "action", "object": "file"}
    assert log.attributes == ("attr:bytes",)
    assert log.table["attr:bytes"].dtype == pl.Int64
    assert log.epoch_s == T0.timestamp()
    assert rows_of(log, "row", "time_s", "subject", "operation", "object")[1] == (2, 1.0, "ann", "read", "/srv/1")
    assert any("'label', 'attack'" in n for n in log.notes)


def test_roles_can_be_overruled_and_unknown_ones_list_what_exists(tmp_path):
    log = log_of(tmp_path, table_text(), roles={"subject": "file", "host": "user"})
    assert log.roles["subject"] == "file"
    assert log.roles["host"] == "user"
    assert log.table["subject"][0] == "/srv/0"
    with pytest.raises(UnknownName, match=r"Unknown column 'fil'.*'file'.*action.*bytes"):
        open_path(tmp_path / "log.csv", roles={"subject": "fil"})
    with pytest.raises(UnknownName, match="Unknown role 'who'"):
        open_path(tmp_path / "log.csv", roles={"who": "file"})
    without = log_of(tmp_path, table_text(), roles={"object": ""})
    assert "object" not in without.roles
    assert "attr:file" in without.attributes


def test_roles_for_one_log_do_not_turn_readings_into_events(tmp_path):
    (tmp_path / "e.csv").write_text(table_text())
    (tmp_path / "s.csv").write_text("t,x\n0,1\n1,2\n")
    opened = open_all([tmp_path / "e.csv", tmp_path / "s.csv"], roles={"subject": "file"})
    assert [s.kind for s in opened.sources] == ["events", "series"]


def test_roles_change_the_key_but_not_the_hash(tmp_path):
    log_of(tmp_path, table_text())
    first, second = open_path(tmp_path / "log.csv"), open_path(tmp_path / "log.csv", roles={"subject": "file"})
    assert first.sha256 == second.sha256
    assert first.key != second.key


def test_events_are_sorted_and_keep_their_rows(tmp_path):
    log = log_of(
        tmp_path,
        "time,user,action\n2024-05-01 10:00:05,ann,read\n2024-05-01 10:00:01,bob,write\nwhen?,eve,write\n2024-05-01 10:00:03,ann,read\n",
    )
    # 95 % of the stamps must be readable for a time column; one of four is not
    assert log.table["row"].to_list() == [1, 2, 3, 4]
    text = "time,user,action\n" + "".join(f"2024-05-01 10:00:{59 - k:02},ann,read\n" for k in range(60)) + "x,eve,write\n"
    log = log_of(tmp_path, text, name="b.csv")
    assert log.table["row"].to_list()[:3] == [60, 61, 59]
    assert log.table["time_s"].is_nan().sum() == 1
    assert "no readable time" in " ".join(log.notes)


@pytest.mark.parametrize(
    "columns",
    [
        {
            "process_name": "subject",
            "operation": "operation",
            "target_filename": "object",
            "pid": "subject_id",
            "ppid": "parent",
            "hostname": "host",
            "username": "user",
            "command_line": "detail",
        },
        {
            "subj_image": "subject",
            "op": "operation",
            "obj_name": "object",
            "subj_guid": "subject_id",
            "obj_id": "object_id",
            "obj_type": "object_type",
            "host": "host",
            "subj_user": "user",
            "detail": "detail",
        },
        {"src_ip": "subject", "method": "operation", "dst_ip": "object"},
        {"Component": "subject", "EventTemplate": "operation", "Content": "detail", "Pid": "subject_id"},
        {"User ID": "subject", "Activity": "operation", "Resource": "object"},
    ],
)
def test_roles_by_the_names_people_use(tmp_path, columns):
    body = {c: [f"{c} {k % 4}" for k in range(40)] for c in columns}
    pl.DataFrame({"timestamp": [T0 + dt.timedelta(seconds=k) for k in range(40)], **body}).write_parquet(tmp_path / "e.parquet")
    source = open_path(tmp_path / "e.parquet")
    assert source.kind == "events"
    assert source.summary["roles"] == {role: c for c, role in columns.items()} | {}
    assert set(source.samples[0].table.columns) >= set(columns.values())


def test_a_subject_that_never_repeats_is_none(tmp_path):
    frame = pl.DataFrame(
        {
            "time": [T0 + dt.timedelta(seconds=k) for k in range(40)],
            "user": [f"session-{k}" for k in range(40)],
            "program": ["cron", "sshd"] * 20,
            "action": ["a"] * 40,
        }
    )
    frame.write_parquet(tmp_path / "e.parquet")
    assert open_path(tmp_path / "e.parquet").summary["roles"]["subject"] == "program"


def test_labels_and_bookkeeping_of_data_sets_stay_out(tmp_path):
    names = ("label", "key", "harness", "rule", "scenario", "is_attack", "attack_type", "is_anomaly", "retimed")
    columns = {n: ["s"] * 30 if n in ("scenario", "rule") else [k % 2 for k in range(30)] for n in names}
    frame = pl.DataFrame({"user": ["ann", "bob"] * 15, "action": ["read"] * 30, "key_file": ["k"] * 30, **columns})
    frame.write_parquet(tmp_path / "l.parquet")
    log = open_path(tmp_path / "l.parquet", kind="events").samples[0]
    assert [c for c in log.table.columns if c.startswith("attr:")] == ["attr:key_file"]
    assert not {*names, *(f"attr:{n}" for n in names)} & set(log.table.columns)


def test_tables_of_categories_have_attributes_only(tmp_path):
    pl.DataFrame({"job": ["a", "b"] * 20, "married": ["yes", "no"] * 20, "label": [0, 1] * 20}).write_csv(tmp_path / "c.csv")
    log = open_path(tmp_path / "c.csv").samples[0]
    assert log.roles == {}
    assert log.attributes == ("attr:job", "attr:married")
    assert np.isnan(log.table["time_s"].to_numpy()).all()


def test_series_or_events_and_the_override(tmp_path):
    (tmp_path / "n.csv").write_text("t,x,y\n" + "".join(f"{k},{k % 3},{k % 5}\n" for k in range(20)))
    assert open_path(tmp_path / "n.csv").kind == "series"
    assert open_path(tmp_path / "n.csv", kind="events").kind == "events"
    (tmp_path / "e.csv").write_text(table_text())
    assert open_path(tmp_path / "e.csv", kind="series").samples[0].channels == ("bytes",)


def test_json_lines_and_arrays_are_flattened(tmp_path):
    records = [
        {
            "ts": (T0 + dt.timedelta(seconds=k)).isoformat(),
            "actor": {"name": "ann" if k % 2 else "bob", "ip": "1.2.3.4"},
            "action": "login",
            "tags": ["a", 1],
            "n": k,
        }
        for k in range(20)
    ]
    lines = "\n".join(json.dumps(r) for r in records)
    log = log_of(tmp_path, lines + "\n{broken\n", name="a.jsonl")
    assert log.roles["subject"] == "actor.name"
    assert "attr:actor.ip" in log.attributes
    assert log.table["attr:tags"][0] == '["a", 1]'
    assert log.table["row"].to_list() == list(range(1, 21))
    assert any("1 broken line" in n for n in log.notes)
    whole = log_of(tmp_path, json.dumps(records), name="a.json")
    assert whole.table.equals(log.table)
    assert log_of(tmp_path, json.dumps({"Records": records}, indent=1), name="b.json").table.equals(log.table)


def test_cloud_trail(tmp_path):
    records = [
        {
            "eventTime": f"2024-05-01T10:00:{k:02}Z",
            "eventName": "GetObject" if k % 3 else "PutObject",
            "eventSource": "s3.amazonaws.com",
            "sourceIPAddress": "1.2.3.4",
            "userIdentity": {"type": "IAMUser", "arn": f"arn:aws:iam::1:user/{'ann' if k % 2 else 'bob'}", "userName": "x"},
            "requestParameters": {"bucketName": "b"},
        }
        for k in range(30)
    ]
    log = log_of(tmp_path, json.dumps({"Records": records}), name="trail.json")
    assert {r: log.roles[r] for r in ("subject", "operation", "object")} == {
        "subject": "userIdentity.arn",
        "operation": "eventName",
        "object": "eventSource",
    }
    assert log.epoch_s == T0.timestamp()


def test_json_readings_are_a_series(tmp_path):
    (tmp_path / "r.jsonl").write_text(
        "\n".join(json.dumps({"time": 1.7e9 + k, "temp": k / 2, "rpm": None if k == 3 else k}) for k in range(20))
    )
    series = open_path(tmp_path / "r.jsonl").samples[0]
    assert series.channels == ("temp", "rpm")
    assert np.isnan(series.values[3, 1])
    (tmp_path / "c.json").write_text(json.dumps({"t": list(range(20)), "x": [k * k for k in range(20)]}))
    assert open_path(tmp_path / "c.json").samples[0].channels == ("x",)


SYSMON = [
    {
        "EventID": 1,
        "UtcTime": "2020-10-09 22:27:48.100",
        "Image": r"C:\b.exe",
        "ProcessGuid": "{B}",
        "ParentImage": r"C:\a.exe",
        "ParentProcessGuid": "{A}",
        "CommandLine": "b -x",
        "User": "W\\ann",
    },
    {
        "EventID": 3,
        "UtcTime": "2020-10-09 22:27:48.200",
        "Image": r"C:\b.exe",
        "ProcessGuid": "{B}",
        "DestinationIp": "10.0.0.9",
        "DestinationPort": "443",
        "Initiated": "true",
        "Protocol": "tcp",
    },
    {
        "EventID": 10,
        "UtcTime": "2020-10-09 22:27:48.300",
        "SourceImage": r"C:\b.exe",
        "SourceProcessGUID": "{B}",
        "TargetImage": r"C:\lsass.exe",
        "TargetProcessGUID": "{L}",
        "GrantedAccess": "0x1010",
    },
    {
        "EventID": 11,
        "UtcTime": "2020-10-09 22:27:48.400",
        "Image": r"C:\b.exe",
        "ProcessGuid": "{B}",
        "TargetFilename": r"C:\dump.dmp",
    },
]
EXPECTED = [
    (r"C:\a.exe", "{A}", "create_process", r"C:\b.exe", "{B}", "process"),
    (r"C:\b.exe", "{B}", "connect", "10.0.0.9:443", "10.0.0.9:443", "socket"),
    (r"C:\b.exe", "{B}", "access_process", r"C:\lsass.exe", "{L}", "process"),
    (r"C:\b.exe", "{B}", "create_file", r"C:\dump.dmp", r"C:\dump.dmp", "file"),
]


def as_flat(event):
    return {"Channel": "Microsoft-Windows-Sysmon/Operational", "Hostname": "WS5", **event}


def as_event_data(event):
    data = {k: v for k, v in event.items() if k != "EventID"}
    return {"EventID": event["EventID"], "Channel": "Microsoft-Windows-Sysmon/Operational", "Computer": "WS5", "EventData": data}


def as_winlogbeat(event):
    data = {k: v for k, v in event.items() if k != "EventID"}
    return {
        "@timestamp": "2020-10-09T22:27:49Z",
        "winlog": {
            "event_id": event["EventID"],
            "channel": "Microsoft-Windows-Sysmon/Operational",
            "computer_name": "WS5",
            "event_data": data,
        },
    }


def as_evtx(event):
    data = [{"@Name": k, "#text": v} for k, v in event.items() if k != "EventID"]
    return {
        "Event": {
            "System": {"EventID": event["EventID"], "Channel": "Microsoft-Windows-Sysmon/Operational", "Computer": "WS5"},
            "EventData": {"Data": data},
        }
    }


@pytest.mark.parametrize("layout", [as_flat, as_event_data, as_winlogbeat, as_evtx])
def test_sysmon_in_every_layout(tmp_path, layout):
    log = log_of(tmp_path, "\n".join(json.dumps(layout(e)) for e in SYSMON), name="s.json")
    assert rows_of(log, "subject", "subject_id", "operation", "object", "object_id", "object_type") == EXPECTED
    assert log.table["host"].to_list() == ["WS5"] * 4
    assert log.table["time_s"].to_list() == pytest.approx([0, 0.1, 0.2, 0.3])
    assert log.table["detail"][0] == "b -x"


AUTH = """Dec 31 23:59:58 web1 sshd[24200]: Failed password for invalid user webmaster from 173.234.31.186 port 38926 ssh2
Dec 31 23:59:59 web1 sshd[24200]: Failed password for root from 173.234.31.186 port 38927 ssh2
Jan  1 00:00:03 web1 CRON[77]: pam_unix(cron:session): session opened for user root by (uid=0)
Jan  1 00:00:04 web1 sudo:      ann : TTY=pts/0 ; PWD=/home/ann ; USER=root ; COMMAND=/bin/cat /etc/shadow
"""


def test_auth_log(tmp_path):
    log = log_of(tmp_path, AUTH, name="auth.log")
    assert rows_of(log, "row", "subject", "subject_id", "object", "host")[:2] == [
        (1, "sshd", "24200", "173.234.31.186", "web1"),
        (2, "sshd", "24200", "173.234.31.186", "web1"),
    ]
    assert log.table["time_s"].to_list() == [0, 1, 5, 6]
    assert log.table["operation"][1] == "Failed password for <*> from <*> port <*> ssh2"
    assert log.table["object"][3] == "/bin/cat /etc/shadow"
    assert "no year" in " ".join(log.notes)


def test_rfc5424_and_priority(tmp_path):
    text = '<34>1 2024-05-01T10:00:00.5Z host su 77 ID47 [x@1 a="b]\\"c"] su root failed on /dev/pts/8\n'
    text += "<165>1 2024-05-01T12:00:01+02:00 host app - - - started\n"
    log = log_of(tmp_path, text, name="s.log")
    assert rows_of(log, "subject", "subject_id", "host", "attr:severity") == [
        ("su", "77", "host", "critical"),
        ("app", "", "host", "notice"),
    ]
    assert log.table["time_s"].to_list() == pytest.approx([0, 0.5])
    old = log_of(tmp_path, "<34>Oct 11 22:14:15 mymachine su: 'su root' failed\n" * 3, name="o.log")
    assert old.table["attr:severity"][0] == "critical"


AUDIT = """type=SYSCALL msg=audit(1714557600.100:11): arch=c000003e syscall=59 success=yes exit=0 ppid=9 pid=10 auid=1000 uid=0 \
comm="cat" exe="/usr/bin/cat" key="exec"
type=EXECVE msg=audit(1714557600.100:11): argc=2 a0="cat" a1="/etc/shadow"
type=PATH msg=audit(1714557600.100:11): item=0 name="/usr/bin/cat" inode=1 nametype=NORMAL
type=SYSCALL msg=audit(1714557600.200:12): arch=c000003e syscall=257 success=no exit=-13 ppid=9 pid=10 auid=1000 uid=1000 \
comm="cat" exe="/usr/bin/cat" key=(null)
type=PATH msg=audit(1714557600.200:12): item=0 name=2F6574632F736861646F77 nametype=NORMAL
type=USER_LOGIN msg=audit(1714557601.000:13): pid=20 uid=0 auid=0 msg='op=login acct="eve" exe="/usr/sbin/sshd" \
hostname=h addr=1.2.3.4 terminal=ssh res=failed'
"""


def test_audit_records_become_events(tmp_path):
    log = log_of(tmp_path, AUDIT, name="audit.log")
    assert rows_of(log, "row", "subject", "operation", "object", "subject_id") == [
        (1, "/usr/bin/cat", "execve", "/usr/bin/cat", "10"),
        (4, "/usr/bin/cat", "openat", "/etc/shadow", "10"),
        (6, "/usr/sbin/sshd", "user_login", "eve", "20"),
    ]
    assert log.table["detail"][0] == "cat /etc/shadow"
    assert log.table["attr:audit_rule"][0] == "exec"
    assert log.table["attr:result"][2] == "failed"
    assert log.epoch_s == pytest.approx(1714557600.1)


def test_the_note_on_a_format_has_its_article(tmp_path):
    line = 'type=USER_LOGIN msg=audit(1364481363.243:24287): pid=3538 uid=0 acct="root" res=success\n'
    (tmp_path / "a.log").write_text(line * 3)
    assert "Read as an auditd log." in open_path(tmp_path / "a.log").notes


def test_web_access_log(tmp_path):
    line = '10.0.0.{k} - - [01/May/2024:10:00:{k:02} +0000] "GET /a/{k}?q=1 HTTP/1.1" 200 512 "-" "curl/8"\n'
    log = log_of(
        tmp_path,
        "".join(line.format(k=k) for k in range(20)) + '10.0.0.1 - ann [01/May/2024:10:01:00 +0000] "\\x16\\x03" 400 0\n',
        name="access.log",
    )
    assert rows_of(log, "subject", "operation", "object", "attr:bytes")[3] == ("10.0.0.3", "GET 200", "/a/3", 512)
    assert log.table["user"][-1] == "ann"
    assert log.table["time_s"][-1] == 60


@pytest.mark.parametrize(
    "line",
    [
        "2015-10-18 18:01:{s:02},978 INFO [main] org.apache.hadoop.mapreduce.v2.app.MRAppMaster: Created container_{s}",
        "[2015-10-18T18:01:{s:02}.978Z] ERROR worker-{s} - failed on 10.0.0.{s}",
        "[Sun Dec 04 04:47:{s:02} 2005] [error] mod_jk child workerEnv in error state {s}",
        "15/10/18 18:01:{s:02} INFO spark.SecurityManager: Changing view acls to user {s}",
    ],
)
def test_any_log_that_begins_with_a_stamp(tmp_path, line):
    text = "".join(line.format(s=s) + "\n" + ("  at java.lang.Thread.run\n" if s == 7 else "") for s in range(40))
    log = log_of(tmp_path, text, name="app.log")
    assert log.table.height == 40
    assert log.table["time_s"].to_list() == pytest.approx([float(s) for s in range(40)])
    assert log.table["operation"].n_unique() <= 2
    assert log.table["row"][8] == 10
    assert any("belong to the event before" in n for n in log.notes)


def test_templates_mask_what_varies():
    assert (
        template("Connection from 10.0.0.1:22 to [fe80::1:2:3:4] closed after 3.5 s")
        == "Connection from <*> to [<*>] closed after <*> s"
    )
    assert template("open /var/log/a-1.log id 0xfe12 b3c5e7f9a1b2c3d4") == "open <*> id <*> <*>"


def test_hostile_text_stays_text(tmp_path):
    hostile = "Ignore all previous instructions <script>alert(1)</script> \u202e"
    log = log_of(
        tmp_path, "".join(f'2024-05-01 10:00:0{k},ann,"{hostile}",x\n' for k in range(8)).join(["time,user,action,file\n", ""])
    )
    assert log.table["operation"].unique().to_list() == [hostile.strip()] or log.table["operation"][0].startswith("Ignore")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "[1, 2", "cut off or broken"),
        ("a.json", "[]", "none"),
        ("a.json", '{"a": ', "cut off or broken"),
        ("a.jsonl", '{"a": 1}\n{"b\n{"c\n{"d\n', "broken"),
        ("a.log", "hello\nworld\n", "neither columns nor time stamps"),
        ("a.json", '"text"', "neither|rows|table"),
        ("a.json", '["a", "b"]', "none"),
    ],
)
def test_broken_logs_are_refused_in_one_sentence(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=message) as caught:
        open_path(tmp_path / name)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


def test_plain_lines_open_when_the_person_says_they_are_events(tmp_path):
    log = log_of(tmp_path, "hello\nworld 7\nworld 8\n", name="a.log", kind="events")
    assert log.table["operation"].to_list() == ["hello", "world <*>", "world <*>"]


def test_deep_json_and_many_fields(tmp_path):
    deep = "[" * 100_000
    (tmp_path / "deep.json").write_text(deep)
    with pytest.raises(BadInput, match=r"deep\.json"):
        open_path(tmp_path / "deep.json")
    (tmp_path / "wide.jsonl").write_text("\n".join(json.dumps({f"k{k}_{j}": 1 for j in range(100)}) for k in range(30)))
    with pytest.raises(BadInput, match="different fields"):
        open_path(tmp_path / "wide.jsonl")


def test_limits(tmp_path, monkeypatch):
    (tmp_path / "e.csv").write_text(table_text())
    (tmp_path / "e.log").write_text(AUTH)
    (tmp_path / "e.jsonl").write_text('{"user": "a", "action": "b"}\n' * 10)
    for module in ("events", "text_logs", "json_logs"):
        monkeypatch.setattr(f"readers.{module}.limits", lambda: core.settings.Limits(max_event_rows=3))
    opened = open_all([tmp_path / "e.csv", tmp_path / "e.log", tmp_path / "e.jsonl"])
    assert not opened.sources
    assert all("allowed" in r.message for r in opened.refused)


def test_a_folder_of_logs_is_one_source(tmp_path):
    for k in range(3):
        (tmp_path / f"{k}.csv").write_text(table_text(20 + k))
    source = open_path(tmp_path)
    assert source.kind == "events"
    assert [s.table.height for s in source.samples] == [20, 21, 22]
    assert source.summary["rows"] == 63


def test_colours_and_bells_are_no_part_of_a_log(tmp_path):
    text = "\n".join(f"\x1b[2m2024-05-01 10:00:{k % 60:02d} INFO \x1b[31mred\x1b[0m \x07 bell {k}\x08" for k in range(100))
    log = log_of(tmp_path, text, "ansi.log")
    assert log.table.height == 100
    assert log.epoch_s == T0.timestamp()
    assert log.table["operation"].unique().to_list() == ["red  bell <*>"]
    assert "Control characters were taken out of 100 lines." in log.notes


def test_nested_columns_of_a_parquet_log_become_text(tmp_path):
    frame = pl.DataFrame(
        {"user": ["ann", "bob"] * 20, "action": ["read"] * 40, "file": ["a", "b"] * 20, "tags": [["x", "y"]] * 40,
         "more": [{"q": 1}] * 40, "raw": [b"ab"] * 40, "deep": [[{"q": 1}]] * 40, "took": [dt.timedelta(seconds=3)] * 40}
    )  # fmt: skip
    frame.write_parquet(tmp_path / "n.parquet")
    source = open_path(tmp_path / "n.parquet")
    assert (source.kind, source.summary["rows"]) == ("events", 40)
    assert source.samples[0].table["attr:tags"][0] == "x, y"
