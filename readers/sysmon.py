"""Windows event records (Sysmon first of all) as JSON: who did what to what follows from the event id.

A process that is created is the *object*; its parent acts. Operation and object words are those of process provenance graphs
(create_process, load_image, access_process, connect, …). Source: Microsoft Sysinternals, Sysmon event reference.
Record layouts understood: flat fields, `EventData`, `winlog.event_data` (Elastic), `Event.System`/`Event.EventData.Data` (evtx dumps).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# event id → (operation, object type, object fields by preference, detail fields)
_EVENTS: dict[int, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    1: ("create_process", "process", ("Image",), ("CommandLine",)),
    2: ("set_file_time", "file", ("TargetFilename",), ()),
    3: ("connect", "socket", ("DestinationIp",), ("Protocol", "SourceIp", "DestinationHostname")),
    4: ("service_state", "service", ("State",), ()),
    5: ("exit", "process", ("Image",), ()),
    6: ("load_driver", "file", ("ImageLoaded",), ("Signature", "SignatureStatus")),
    7: ("load_image", "file", ("ImageLoaded",), ("Signed", "SignatureStatus")),
    8: ("inject_thread", "process", ("TargetImage",), ("StartModule", "StartFunction")),
    9: ("raw_read", "file", ("Device",), ()),
    10: ("access_process", "process", ("TargetImage",), ("GrantedAccess",)),
    11: ("create_file", "file", ("TargetFilename",), ()),
    12: ("reg_key", "registry", ("TargetObject",), ("EventType",)),
    13: ("reg_set", "registry", ("TargetObject",), ("EventType", "Details")),
    14: ("reg_rename", "registry", ("TargetObject",), ("EventType", "NewName")),
    15: ("create_stream", "file", ("TargetFilename",), ("Contents",)),
    17: ("create_pipe", "pipe", ("PipeName",), ()),
    18: ("connect_pipe", "pipe", ("PipeName",), ()),
    19: ("wmi_filter", "wmi", ("Name",), ("Query",)),
    20: ("wmi_consumer", "wmi", ("Name",), ("Destination",)),
    21: ("wmi_binding", "wmi", ("Consumer",), ("Filter",)),
    22: ("dns_query", "domain", ("QueryName",), ("QueryResults",)),
    23: ("delete_file", "file", ("TargetFilename",), ()),
    24: ("clipboard", "clipboard", ("Session",), ("ClientInfo",)),
    25: ("tamper_process", "process", ("Image",), ("Type",)),
    26: ("delete_file", "file", ("TargetFilename",), ()),
    27: ("block_file", "file", ("TargetFilename",), ()),
    28: ("block_file", "file", ("TargetFilename",), ()),
    29: ("exe_written", "file", ("TargetFilename",), ("Hashes",)),
}
_HINTS = frozenset(
    {"EventID", "EventId", "EventCode", "event_id", "Event", "winlog", "System", "EventData", "event_data", "_source"}
)
_KEPT = (
    "Hashes",
    "IntegrityLevel",
    "LogonId",
    "CurrentDirectory",
    "Description",
    "Company",
    "OriginalFileName",
    "RuleName",
    "CallTrace",
)


def is_windows_event(record: Mapping[str, Any]) -> bool:
    """Does the record have an event id and come from a Windows channel or carry Sysmon's fields?"""
    if not _HINTS & record.keys():
        return False
    fields = _fields(record)
    if "EventID" not in fields:
        return False
    return any(
        k in fields
        for k in ("Channel", "ProviderName", "SourceName", "provider_name", "Provider", "ProcessGuid", "SourceImage", "UtcTime")
    )


def windows_event(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return one record with the roles as fields, the time as `time`, and the most useful attributes.

    >>> event = windows_event({"EventID": 10, "UtcTime": "2020-10-09 22:27:48.333", "SourceImage": "a.exe", "TargetImage": "lsass.exe",
    ...                        "GrantedAccess": "0x1010", "Channel": "Microsoft-Windows-Sysmon/Operational"})
    >>> event["subject"], event["operation"], event["object"], event["detail"]
    ('a.exe', 'access_process', 'lsass.exe', '0x1010')
    """
    fields = _fields(record)
    event_id = _whole(fields.get("EventID"))
    sysmon = "sysmon" in str(fields.get("Channel", fields.get("ProviderName", fields.get("SourceName", "Sysmon")))).lower()
    result: dict[str, Any] = {
        "time": _first(fields, "UtcTime", "TimeCreated", "SystemTime", "EventTime", "@timestamp", "TimeGenerated", "timestamp"),
        "event_id": event_id,
        "host": _first(fields, "Computer", "Hostname", "ComputerName", "computer_name", "host"),
    }
    if sysmon and event_id in _EVENTS:
        result.update(_sysmon(fields, event_id))
        result.update({k: _text(fields[k]) for k in _KEPT if k in fields})
        return result
    result.update(
        subject=_first(fields, "ProcessName", "NewProcessName", "Application", "SubjectUserName", "ProviderName", "SourceName"),
        subject_id=_first(fields, "ProcessId", "ProcessID", "SubjectLogonId"),
        operation=f"event {event_id}" if event_id is not None else "event",
        object=_first(
            fields, "ObjectName", "TargetUserName", "ServiceName", "ShareName", "NewProcessName", "TaskName", "ScriptBlockText"
        ),
        user=_first(fields, "SubjectUserName", "TargetUserName", "AccountName", "User"),
        detail=_first(fields, "CommandLine", "Message", "Keywords"),
        Channel=_first(fields, "Channel"),
    )
    return result


def _sysmon(fields: Mapping[str, Any], event_id: int) -> dict[str, Any]:
    """Roles of one Sysmon event."""
    operation, object_type, object_fields, detail_fields = _EVENTS[event_id]
    subject = _first(fields, "SourceImage", "Image", "Destination", "Operation")
    subject_id = _first(fields, "SourceProcessGuid", "SourceProcessGUID", "ProcessGuid")
    target = _first(fields, *object_fields)
    target_id = _first(fields, "TargetProcessGuid", "TargetProcessGUID") or target
    parent = None
    user = _first(fields, "User", "SourceUser")
    if event_id == 1:
        subject = _first(fields, "ParentImage") or subject
        target_id = subject_id or target
        subject_id = _first(fields, "ParentProcessGuid") or subject_id
        user = _first(fields, "ParentUser") or user
        parent = _first(fields, "ParentCommandLine")
    elif event_id in (5, 25):
        target_id = subject_id or target
    elif event_id == 3:
        remote = (_first(fields, "DestinationIp"), _first(fields, "DestinationPort"))
        if str(fields.get("Initiated", "true")).lower() == "false":
            operation = "accept"
            target = target_id = f"{_first(fields, 'SourceIp')}:{_first(fields, 'SourcePort')}<-"
        else:
            target = target_id = ":".join(str(p) for p in remote if p is not None)
    elif event_id == 24:
        target = target_id = "clipboard"
    detail = " ".join(_text(fields[f]) for f in detail_fields if fields.get(f) not in (None, ""))
    return {
        "subject": subject, "subject_id": subject_id, "operation": operation, "object": target, "object_id": target_id,
        "object_type": object_type, "user": user, "detail": detail, **({"parent": parent} if parent else {}),
    }  # fmt: skip


def _fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """All fields of a record on one level, whatever its layout."""
    result: dict[str, Any] = {}
    layers: list[Mapping[str, Any]] = [record]
    event = record.get("Event")
    winlog = record.get("winlog")
    if isinstance(event, Mapping):
        layers += [event, *(v for k in ("System", "EventData") if isinstance(v := event.get(k), Mapping))]
    if isinstance(winlog, Mapping):
        layers += [winlog, *(v for k in ("event_data",) if isinstance(v := winlog.get(k), Mapping))]
        result.setdefault("EventID", winlog.get("event_id"))
        result.setdefault("Channel", winlog.get("channel"))
        result.setdefault("Computer", winlog.get("computer_name"))
    layers += [v for k in ("System", "EventData", "event_data", "_source") if isinstance(v := record.get(k), Mapping)]
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, Mapping):
                attributes = value.get("#attributes", value)
                if isinstance(attributes, Mapping):
                    inner = attributes.get("#text", attributes.get("SystemTime", attributes.get("Name", attributes.get("name"))))
                    if inner is not None:
                        result.setdefault(key, inner)
            elif key == "Data" and isinstance(value, list):
                for item in value:
                    if isinstance(item, Mapping) and (label := item.get("@Name", item.get("Name"))) is not None:
                        result[str(label)] = item.get("#text", item.get("text", item.get("Value", "")))
            elif value is not None:
                result.setdefault(key, value)
    if "EventID" not in result:
        for key in ("event_id", "EventId", "EventCode", "id"):
            if key in result and key != "id":
                result["EventID"] = result[key]
                break
    return {k: v for k, v in result.items() if v is not None}


def _first(fields: Mapping[str, Any], *names: str) -> str | None:
    """The first field that is there and not empty, as text."""
    for name in names:
        value = fields.get(name)
        if value not in (None, "", "-"):
            return _text(value)
    return None


def _text(value: Any) -> str:
    """Text of a plain value."""
    return value if isinstance(value, str) else str(value)


def _whole(value: Any) -> int | None:
    """The event id as a number."""
    try:
        return int(str(value).strip())
    except ValueError:
        return None
