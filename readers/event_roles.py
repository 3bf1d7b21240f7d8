"""Which column of an event table says who (subject), did what (operation), to what (object); by name, checked by content.

The names are those of Sysmon, auditd, Elastic Common Schema, CloudTrail, Zeek, NetFlow, loghub's structured logs and plain words.
A person may overrule every choice with `roles={"subject": "column", ...}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from core.errors import UnknownName
from core.samples import EVENT_ROLES, OPTIONAL_EVENT_ROLES

if TYPE_CHECKING:
    import polars as pl

ROLES: tuple[str, ...] = (*EVENT_ROLES, *OPTIONAL_EVENT_ROLES)

# in order of preference; compared without case and punctuation
_NAMES: dict[str, str] = {
    "subject": "subject subj_image subj_name subject_name source_image image process_executable process_name process processname exe "
    "executable command_name comm program app application app_name actor actor_name initiator useridentity_arn useridentity_username "
    "useridentity_principalid caller principal component logger service source_process src_process client client_ip clientip remote_addr "
    "src_ip srcip source_ip sourceip sourceipaddress id_orig_h src_addr srcaddr src source from sender account accountname account_name "
    "user username user_name userid user_id employee host hostname computer node device machine agent",
    "operation": "operation op action activity event_template eventtemplate event_name eventname event_action api api_call apiname "
    "syscall method http_method request_method verb event_type eventtype event command cmd task eventid event_id event_code opcode "
    "type category message_type msgtype protocol_type protocol proto message msg content description",
    "object": "object obj_name object_name objectname target_filename targetfilename target_image targetimage target target_name "
    "destination_image image_loaded file filename file_name filepath file_path path resource resource_name resourcename url uri request "
    "request_uri endpoint query domain dst_ip dstip dest_ip destip destination_ip destinationip id_resp_h dst_addr dstaddr dst dest "
    "destination to receiver recipient eventsource event_source service service_name table key_path registry_key document item asset",
    "subject_id": "subject_id subj_guid subject_guid process_guid processguid source_process_guid sourceprocessguid subj_pid process_id "
    "processid pid session_id sessionid session logon_id",
    "object_id": "object_id obj_id object_guid obj_guid target_process_guid targetprocessguid target_process_id targetprocessid",
    "object_type": "object_type obj_type objecttype resource_type resourcetype target_type",
    "parent": "parent parent_image parentimage parent_process parent_process_name parentprocessname parent_process_guid parentprocessguid "
    "parent_process_id parentprocessid ppid",
    "host": "host hostname host_name computer computername computer_name node machine machinename machine_name server device location "
    "dvc workstation",
    "user": "user username user_name subj_user subject_user subjectusername targetusername account accountname account_name "
    "useridentity_username useridentity_arn userid user_id login auid uid employee",
    "detail": "detail details command_line commandline cmdline process_command_line content message msg description info args arguments "
    "parameters raw",
}
_ORDER = ("subject", "operation", "object", "object_type", "object_id", "subject_id", "parent", "host", "user", "detail")
_EVENT_TEXT = (
    "subject subjimage subjname image process processname exe executable comm program app application actor principal "
    "caller component logger service sender account user username hostname host computer node clientip remoteaddr srcip "
    "sourceip sourceipaddress srcaddr operation op action activity eventtemplate event eventname eventtype eventid "
    "eventaction api apiname syscall method command cmd task object objname objectname targetfilename target file filename "
    "filepath path resource url uri request dstip destip destinationip dstaddr domain query subjguid objid objtype "
    "processguid commandline content message msg level severity pid protocol"
)
_EVENT_WORDS = frozenset(_EVENT_TEXT.split())


def plain(name: str) -> str:
    """A column name without case and punctuation.

    >>> plain("Process.Name"), plain("userIdentity.arn"), plain("@Source IP")
    ('processname', 'useridentityarn', 'sourceip')
    """
    return re.sub(r"[^0-9a-z]+", "", name.lower())


def choose_roles(head: pl.DataFrame, columns: Sequence[str], wanted: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return role → column for the columns that may take a role.

    Args:
        head: the first rows of the table.
        columns: the columns to choose from (no time, no labels).
        wanted: the person's choices, which always win; an empty column name takes the role away.

    Raises:
        UnknownName: a wanted role or column does not exist.

    >>> import polars as pl
    >>> head = pl.DataFrame({"user": ["ann", "bob"], "action": ["read", "read"], "file": ["a", "b"]})
    >>> choose_roles(head, head.columns)
    {'subject': 'user', 'operation': 'action', 'object': 'file'}
    """
    wanted = dict(wanted or {})
    for role, column in wanted.items():
        if role not in ROLES:
            raise UnknownName.among("role", role, list(ROLES))
        if column and column not in columns:
            raise UnknownName.among("column", column, list(columns))
    chosen = {role: column for role, column in wanted.items() if column}
    for role in _ORDER:
        if role in wanted:
            continue
        taken = set(chosen.values())
        best = _best(role, head, [c for c in columns if c not in taken])
        if best is not None:
            chosen[role] = best
    return {role: chosen[role] for role in ROLES if role in chosen}


def looks_like_events(head: pl.DataFrame, text_columns: Sequence[str], value_columns: Sequence[str], *, timed: bool) -> bool:
    """Is this table about who did what, rather than about readings?

    Args:
        head: the first rows.
        text_columns: columns of words.
        value_columns: columns of numbers (no time, no labels, no row number).
        timed: whether the table has a time column.
    """
    named = [c for c in text_columns if plain(c) in _EVENT_WORDS]
    if not value_columns:
        return bool(text_columns)
    if len(named) >= 2:
        return True
    if named and len(text_columns) >= len(value_columns):
        return True
    if not timed and len(text_columns) >= len(value_columns):
        return True
    if len(text_columns) >= 3 and not timed:
        return True
    return len(text_columns) > 2 * len(value_columns)


def _best(role: str, head: pl.DataFrame, free: Sequence[str]) -> str | None:
    """The most preferred name whose content can play the role."""
    by_name: dict[str, str] = {}
    for column in free:
        by_name.setdefault(plain(column), column)
        by_name.setdefault(plain(column.rsplit(".", 1)[-1]), column)
    for candidate in _NAMES[role].split():
        found = by_name.get(plain(candidate))
        if found is not None and _fits(role, head[found]):
            return found
    return None


def _fits(role: str, column: pl.Series) -> bool:
    """Content check: a subject or an operation that never repeats, or measured numbers, can not play its role."""
    values = column.drop_nulls()
    if values.is_empty():
        return False
    if column.dtype.is_float() and role in EVENT_ROLES:
        return False
    if role in ("subject", "operation") and len(values) >= 20:
        return values.n_unique() < 0.9 * len(values)
    return True
