"""`workstation.jsonl`: one working day of an office computer as Sysmon events, one JSON object per line, with one break-in.

Benign life comes from a small generator: services start at boot, a person reads mail, browses, writes documents, prints and joins
calls, an antivirus looks into processes (also into lsass), an inventory script runs PowerShell twice. At 14:37 an invoice opened
from mail starts a hidden PowerShell, which fetches a program; that reads lsass' memory, writes it to a file and sends it out.
All names and addresses are from the ranges reserved for documentation; nothing in the file can run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

DAY = datetime(2026, 3, 11)
HOST, USER, SYSTEM = "WS-014", "EXAMPLE\\jmiller", "NT AUTHORITY\\SYSTEM"
WINDOWS, SYSTEM32, PROGRAMS = "C:\\Windows\\", "C:\\Windows\\System32\\", "C:\\Program Files\\"
HOME = "C:\\Users\\jmiller\\"
TEMP = HOME + "AppData\\Local\\Temp\\"
OFFICE = PROGRAMS + "Microsoft Office\\root\\Office16\\"
POWERSHELL = SYSTEM32 + "WindowsPowerShell\\v1.0\\powershell.exe"
CHROME, TEAMS = PROGRAMS + "Google\\Chrome\\Application\\chrome.exe", PROGRAMS + "Teams\\ms-teams.exe"
DEFENDER = PROGRAMS + "Windows Defender\\MsMpEng.exe"
SITES = (
    ("intranet.example.com", "10.20.0.15"), ("wiki.example.com", "10.20.0.16"), ("news.example.org", "198.51.100.21"),
    ("maps.example.org", "198.51.100.34"), ("shop.example.net", "198.51.100.52"), ("docs.example.com", "10.20.0.31"),
    ("travel.example.org", "198.51.100.77"), ("tickets.example.com", "10.20.0.44"),
)  # fmt: skip
MAIL, CALLS, UPDATES = (
    ("mail.example.com", "10.20.0.8"),
    ("calls.example.com", "198.51.100.9"),
    ("updates.example.com", "198.51.100.5"),
)
CONTROL = ("cdn-sync.example.net", "203.0.113.66")


@dataclass(frozen=True)
class Process:
    """One running program."""

    image: str
    pid: int
    guid: str
    user: str


class Day:
    """Collects events; `attack` marks those of the break-in."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.events: list[tuple[float, int, bool, dict[str, object]]] = []
        self.attack = False

    def _add(self, at: float, event_id: int, fields: dict[str, object]) -> None:
        stamp = (DAY + timedelta(seconds=at)).isoformat(sep=" ", timespec="milliseconds")
        event = {"EventID": event_id, "UtcTime": stamp, "Computer": HOST, **fields}
        self.events.append((at, len(self.events), self.attack, event))

    @staticmethod
    def _who(process: Process) -> dict[str, object]:
        return {"ProcessGuid": process.guid, "ProcessId": process.pid, "Image": process.image, "User": process.user}

    def start(self, at: float, image: str, parent: Process | None, *, command: str = "", user: str = USER) -> Process:
        """Event 1: a process is created."""
        pid = int(self.rng.integers(150, 4000)) * 4
        guid = f"{{5EB8A1C4-{int(self.rng.integers(16**4)):04X}-{int(at) % 16**4:04X}-{pid:04X}-000000000700}}"
        process = Process(image, pid, guid, user)
        fields: dict[str, object] = {**self._who(process), "CommandLine": command or f'"{image}"'}
        if parent is not None:
            fields |= {"ParentProcessGuid": parent.guid, "ParentImage": parent.image}
        self._add(at, 1, fields)
        return process

    def end(self, at: float, process: Process) -> None:
        """Event 5: a process ends."""
        self._add(at, 5, self._who(process))

    def connect(self, at: float, process: Process, site: tuple[str, str], port: int = 443, *, lookup: bool = True) -> None:
        """Events 22 and 3: a name is looked up and a connection opened."""
        if lookup:
            self._add(at - 0.04, 22, {**self._who(process), "QueryName": site[0], "QueryResults": site[1]})
        fields = {"Protocol": "tcp", "DestinationIp": site[1], "DestinationHostname": site[0], "DestinationPort": port}
        self._add(at, 3, {**self._who(process), **fields})

    def file(self, at: float, process: Process, path: str) -> None:
        """Event 11: a file is created."""
        self._add(at, 11, {**self._who(process), "TargetFilename": path})

    def registry(self, at: float, process: Process, key: str, details: str) -> None:
        """Event 13: a registry value is set."""
        self._add(at, 13, {**self._who(process), "TargetObject": key, "Details": details})

    def access(self, at: float, source: Process, target: Process, mask: str) -> None:
        """Event 10: one process opens another."""
        fields = {
            "SourceProcessGUID": source.guid, "SourceProcessId": source.pid, "SourceImage": source.image,
            "SourceUser": source.user,
            "TargetProcessGUID": target.guid, "TargetProcessId": target.pid, "TargetImage": target.image, "GrantedAccess": mask,
        }  # fmt: skip
        self._add(at, 10, fields)

    def times(self, start_h: float, end_h: float, count: int) -> list[float]:
        """`count` random moments between two hours, in order, as seconds of the day."""
        return np.sort(self.rng.uniform(start_h, end_h, count) * 3600).tolist()


def _benign(day: Day) -> dict[str, Process]:
    """Write the ordinary day; returns the processes the break-in starts from."""
    rng, boot = day.rng, 7.95 * 3600
    services = day.start(boot, SYSTEM32 + "services.exe", None, user=SYSTEM)
    lsass = day.start(boot + 0.4, SYSTEM32 + "lsass.exe", None, user=SYSTEM)
    groups = ("netsvcs -p -s Schedule", "LocalService -p -s nsi", "NetworkService -p -s Dnscache", "DcomLaunch -p", "utcsvc -p")
    hosts = [
        day.start(boot + 2 + i, SYSTEM32 + "svchost.exe", services, command=f"svchost.exe -k {group}", user=SYSTEM)
        for i, group in enumerate(groups)
    ]
    defender = day.start(boot + 9, DEFENDER, services, user=SYSTEM)
    indexer = day.start(boot + 12, SYSTEM32 + "SearchIndexer.exe", services, user=SYSTEM)
    spooler = day.start(boot + 13, SYSTEM32 + "spoolsv.exe", services, user=SYSTEM)
    explorer = day.start(8.06 * 3600, WINDOWS + "explorer.exe", None)
    outlook = day.start(8.09 * 3600, OFFICE + "OUTLOOK.EXE", explorer)
    teams = day.start(8.11 * 3600, TEAMS, explorer)
    chrome = day.start(8.14 * 3600, CHROME, explorer)

    for at in day.times(8.1, 17.4, 105):  # mail arrives, some with attachments
        day.connect(at, outlook, MAIL, lookup=bool(rng.random() < 0.3))
        if rng.random() < 0.22:
            name = rng.choice(["minutes", "offer", "schedule", "photos", "contract"])
            day.file(
                at + 3,
                outlook,
                f"{HOME}AppData\\Local\\Microsoft\\Windows\\INetCache\\Content.Outlook\\{name}_{rng.integers(99)}.pdf",
            )
    for at in day.times(8.2, 17.3, 150):  # browsing
        day.connect(at, chrome, SITES[int(rng.choice(len(SITES), p=[0.3, 0.2, 0.12, 0.08, 0.06, 0.12, 0.04, 0.08]))])
        if rng.random() < 0.33:
            tab = day.start(at + 0.2, CHROME, chrome, command=f'"{CHROME}" --type=renderer --client-id={rng.integers(5, 300)}')
            day.end(at + float(rng.uniform(20, 900)), tab)
        if rng.random() < 0.12:
            day.file(at + 5, chrome, f"{HOME}Downloads\\report_{rng.integers(400)}.pdf")
    for at in day.times(8.3, 17.3, 60):
        day.connect(at, teams, CALLS, lookup=bool(rng.random() < 0.2))
    for at in day.times(8.4, 17.0, 17):  # documents, written, saved, sometimes printed
        program = OFFICE + str(rng.choice(["WINWORD.EXE", "EXCEL.EXE"]))
        parent = explorer if rng.random() < 0.6 else outlook
        extension = "docx" if "WINWORD" in program else "xlsx"
        document = f"{HOME}Documents\\{rng.choice(['plan', 'budget', 'letter', 'review'])}_{rng.integers(40)}.{extension}"
        writer = day.start(at, program, parent, command=f'"{program}" /n "{document}"')
        day.connect(at + 1.5, writer, SITES[5])
        stay = float(rng.uniform(240, 1500))
        for saved in np.sort(rng.uniform(20, stay, int(rng.integers(2, 7)))):
            day.file(
                at + float(saved),
                writer,
                document if rng.random() < 0.5 else f"{HOME}Documents\\~WRL{rng.integers(4000):04d}.tmp",
            )
        day.registry(
            at + 2, writer, f"HKU\\S-1-5-21-1001\\Software\\Microsoft\\Office\\16.0\\{extension}\\File MRU\\Item 1", document
        )
        if rng.random() < 0.45:
            helper = day.start(at + stay * 0.8, WINDOWS + "splwow64.exe", writer)
            day.file(at + stay * 0.8 + 2, spooler, f"{SYSTEM32}spool\\PRINTERS\\{rng.integers(400):05d}.SPL")
            day.end(at + stay * 0.8 + 130, helper)
        day.end(at + stay, writer)
    running = [explorer, outlook, teams, chrome, indexer, lsass, *hosts]
    for at in day.times(8.0, 17.45, 230):  # the antivirus looks into everything, lsass included
        day.access(at, defender, running[int(rng.integers(len(running)))], str(rng.choice(["0x1000", "0x1400"])))
    for at in day.times(8.0, 17.45, 95):
        day.access(at, hosts[int(rng.integers(2))], running[int(rng.integers(len(running)))], "0x1000")
    for at in day.times(8.0, 17.45, 110):
        base = "HKLM\\SYSTEM\\CurrentControlSet\\Services\\"
        day.registry(
            at,
            hosts[int(rng.integers(5))],
            base + str(rng.choice(["Tcpip\\Parameters\\DhcpLease", "bam\\State\\LastUse", "W32Time\\Last"])),
            "DWORD",
        )
    for at in day.times(8.0, 17.4, 90):
        day.file(at, indexer, f"C:\\ProgramData\\Microsoft\\Search\\Data\\Edb{rng.integers(16**4):05X}.jtx")
    for at in day.times(8.0, 17.4, 40):
        day.file(at, defender, f"C:\\ProgramData\\Microsoft\\Windows Defender\\Scans\\History\\{rng.integers(16**6):08X}.tmp")
    for at in day.times(8.0, 17.4, 12):  # updater and other scheduled work
        task = day.start(
            at,
            PROGRAMS + "Google\\Update\\GoogleUpdate.exe",
            hosts[0],
            command="GoogleUpdate.exe /ua /installsource scheduler",
            user=SYSTEM,
        )
        day.connect(at + 2, task, UPDATES)
        day.end(at + 9, task)
    for at in day.times(8.0, 17.4, 14):
        helper = day.start(at, SYSTEM32 + "backgroundTaskHost.exe", hosts[3])
        day.end(at + 25, helper)
    for at in (9 * 3600.0, 13 * 3600.0):  # the inventory script: ordinary PowerShell
        script = day.start(
            at, POWERSHELL, hosts[0], command="powershell.exe -File C:\\ProgramData\\Inventory\\inventory.ps1", user=SYSTEM
        )
        terminal = day.start(at + 0.3, SYSTEM32 + "conhost.exe", script, command="conhost.exe 0xffffffff -ForceV1", user=SYSTEM)
        day.file(at + 11, script, "C:\\ProgramData\\Inventory\\inventory.csv")
        day.connect(at + 12, script, SITES[0])
        day.end(at + 13, terminal)
        day.end(at + 13.2, script)
    for at in (11.2 * 3600, 15.6 * 3600):
        note = day.start(at, SYSTEM32 + "notepad.exe", explorer)
        day.file(at + 200, note, HOME + "Documents\\todo.txt")
        day.end(at + 420, note)
    return {"outlook": outlook, "lsass": lsass, "explorer": explorer}


def _break_in(day: Day, at: float, around: dict[str, Process]) -> None:
    """Write the attack chain, starting `at` seconds of the day."""
    day.attack = True
    mail = HOME + "AppData\\Local\\Microsoft\\Windows\\INetCache\\Content.Outlook\\Invoice_4471.docm"
    tool, dump = TEMP + "svcupd.exe", TEMP + "dbg7f2.bin"
    day.file(at, around["outlook"], mail)
    word = day.start(at + 6, OFFICE + "WINWORD.EXE", around["outlook"], command=f'"{OFFICE}WINWORD.EXE" /n "{mail}"')
    shell = day.start(
        at + 19, POWERSHELL, word, command="powershell.exe -NoP -W Hidden -Enc VwByAGkAdABlAC0ATwB1AHQAcAB1AHQAIABkAGUAbQBvAA=="
    )
    terminal = day.start(at + 19.3, SYSTEM32 + "conhost.exe", shell, command="conhost.exe 0xffffffff -ForceV1")
    day.connect(at + 22, shell, CONTROL)
    day.file(at + 27, shell, tool)
    program = day.start(at + 31, tool, shell, command="svcupd.exe -q")
    key = "HKU\\S-1-5-21-1001\\Software\\Microsoft\\Windows\\CurrentVersion\\Run\\SvcUpd"
    day.registry(at + 34, program, key, tool)
    day.access(at + 58, program, around["lsass"], "0x1FFFFF")
    day.access(at + 58.6, program, around["lsass"], "0x1010")
    day.file(at + 60, program, dump)
    day.connect(at + 95, program, CONTROL, 8443)
    day.connect(at + 155, program, CONTROL, 8443, lookup=False)
    day.end(at + 160, terminal)
    day.end(at + 160.2, shell)
    day.connect(at + 340, program, CONTROL, 8443, lookup=False)
    day.end(at + 702, word)
    day.attack = False


def events(seed: int = 8) -> list[tuple[bool, dict[str, object]]]:
    """The day's events in time order, each with whether it belongs to the break-in."""
    day = Day(seed)
    around = _benign(day)
    _break_in(day, 14 * 3600 + 37 * 60 + 12.0, around)
    return [(attack, event) for _, _, attack, event in sorted(day.events, key=lambda item: item[:2])]


def write(folder: Path) -> dict[str, object]:
    """Write workstation.jsonl and return its ground truth; lines count from 1."""
    made = events()
    lines = [json.dumps(event, separators=(",", ":")) for _, event in made]
    (folder / "workstation.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    rows = [number for number, (attack, _) in enumerate(made, start=1) if attack]
    return {
        "file": "workstation.jsonl", "kind": "events", "events": len(made),
        "anomalies": [{
            "what": "an invoice from mail starts PowerShell, which fetches a program that dumps lsass and sends the dump out",
            "rows": rows, "start": made[rows[0] - 1][1]["UtcTime"], "end": made[rows[-1] - 1][1]["UtcTime"],
            "processes": ["WINWORD.EXE", "powershell.exe", "svcupd.exe"], "target": "lsass.exe", "address": CONTROL[1],
        }],
    }  # fmt: skip
