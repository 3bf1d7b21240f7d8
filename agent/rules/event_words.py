"""What people write about event logs: acts as verbs and as nouns, who started whom, how often, as which account."""

from __future__ import annotations

import re

from tools.events.wording import Deed

VERBS: tuple[tuple[tuple[Deed, ...], str], ...] = (
    (("registry_set", "registry_key", "registry_delete"), r"(?:chang|modif|edit|set|writ|touch|delet)\w*(?: to)?(?: a| the"
        r"| any)? registry(?: keys?| values?| entr\w+)?"),
    (("inject",), r"inject(?:s|ed|ing)?(?: code| a thread| threads)?(?: into)?"),
    (("tamper",), r"tamper(?:s|ed|ing)?(?: with)?|hollow(?:s|ed|ing)?"),
    (("service",), r"install(?:s|ed|ing)?(?: an?| the| any)?(?: new)? services?|creat(?:es|ed|ing|e)(?: an?"
        r"| any)?(?: new)? services?"),
    (("task",), r"(?:schedul(?:es|ing)|(?:creat|register|add)(?:es|e|s|ed|ing))(?: an?| the"
        r"| any)?(?: new)?(?: scheduled)? tasks?"),
    (("driver",), r"load(?:s|ed|ing)?(?: an?| the| any)?(?: new| unsigned| kernel)* drivers?"),
    (("login_failed",), r"fail(?:s|ed|ing)? to log ?(?:in|on)(?: to)?"),
    (("login",), r"log(?:s|ged|ging)? (?:in|on)(?: to| at)?|sign(?:s|ed|ing)? in(?: to)?"),
    (("load",), r"load(?:s|ed|ing)?"),
    (("connect",), r"connect(?:s|ed|ing)?(?: out)?(?: to)?|contact(?:s|ed|ing)?|talk(?:s|ed|ing)? to|reach(?:es|ed"
        r"|ing)? out to|beacon(?:s|ed|ing)?(?: to)?|phon(?:es|ed|ing) home to|communicat(?:es|ed|ing) with|mak(?:es"
        r"|ing) (?:an? )?(?:network |outbound )?connections?(?: to)?"),
    (("resolve",), r"look(?:s|ed|ing)? up|resolv(?:es|ed|ing|e)|quer(?:ies|ied|ying)"),
    (("rename",), r"renam(?:es|ed|ing|e)"),
    (("delete",), r"delet(?:es|ed|ing|e)|remov(?:es|ed|ing|e)|eras(?:es|ed|ing|e)|wip(?:es|ed|ing|e)|unlink(?:s|ed|ing)?"),
    (("write", "rename", "stream"), r"writ(?:es|ing|e|ten)(?: to)?|wrote(?: to)?|drop(?:s|ped|ping)?|creat(?:es|ed|ing"
        r"|e)(?= (?:an? |any |the )?(?:\S+ )?(?:files?|executables?|scripts?|dumps?|documents?|\S*[.*]\S*))|sav(?:es|ed|ing"
        r"|e)|modif(?:ies|ied|ying|y)|encrypt(?:s|ed|ing)?|overwrit(?:es|ten|ing|e)"),
    (("read",), r"read(?:s|ing)?(?: the memory of| from)?|access(?:es|ed|ing)?(?: the memory of)?|dump(?:s|ed"
        r"|ing)?(?: the memory of)?|steal(?:s|ing)?"),
    (("access", "read"), r"open(?:s|ed|ing)?(?: the process| a handle to)?|touch(?:es|ed|ing)?"),
    (("start",), r"start(?:s|ed|ing)?|launch(?:es|ed|ing)?|spawn(?:s|ed|ing)?|execut(?:es|ed|ing|e)|run(?:s|ning)?|ran"
        r"|invok(?:es|ed|ing|e)|call(?:s|ed|ing)?"),
    (("exit",), r"end(?:s|ed|ing)|exit(?:s|ed|ing)?|terminat(?:es|ed|ing|e)|crash(?:es|ed|ing)?|stop(?:s|ped|ping)"),
)  # fmt: skip
NOUNS: tuple[tuple[tuple[Deed, ...], str], ...] = (
    (("delete",), r"(?:file )?(?:deletes|deletions?|removals?)|deleted files|files? (?:being |are |is |were |was )?deleted"),
    (("write", "rename", "stream"), r"(?:file )?writes|(?:file )?(?:creations?|modifications?)|files? (?:being |are |is "
        r"|were |was )?(?:written|created|modified|encrypted)|written files|new files"),
    (("read",), r"(?:file )?reads|files? (?:being |are |is |were |was )?read"),
    (("rename",), r"(?:file )?renames|files? (?:being |are |is |were |was )?renamed|renamings?"),
    (("start",), r"process(?:es)? (?:starts?|creations?|launches)|(?:new )?processes(?: being| are| were)? (?:started"
        r"|created|launched)|(?:program |command )?executions|new process(?:es)?|processes"),
    (("connect",), r"(?:network |outbound |outgoing |internet )?connections?(?: attempts?)?"),
    (("resolve",), r"dns (?:queries|query|lookups?|requests?)|name look-?ups?"),
    (("registry_set", "registry_key", "registry_delete"), r"registry (?:changes?|modifications?|writes|edits?|keys?"
        r"|values?)|changes? (?:to|in|of) the registry"),
    (("inject",), r"(?:code |thread |process )?injections?"), (("driver",), r"driver loads?|loaded drivers?"),
    (("load",), r"(?:dll|library|image|module) loads?"), (("exit",), r"process (?:exits|ends|terminations?)|crashes"),
)  # fmt: skip
CUE = re.compile(
    r"\.exe\b|\.dll\b|\.ps1\b|\b(?:process(?:es)?|programs?|log-?ins?|log-?ons?|log(?:s|ging)? (?:in|on)|user \w+"
        r"|sign-?ins?|logged (?:in|on)|registry|command lines?|accounts?|ip address(?:es)?|dns|"
    r"files? (?:deletes|deletions?|writes|renames?)|(?:delet|renam|encrypt|writ|drop|creat)\w* (?:an? |any "
        r"|the )?(?:\S+ )?(?:files?|executables?|scripts?|dumps?)|(?:files?|executables?|scripts?) (?:are |is |being "
        r"|were )?(?:deleted|written|renamed|encrypted|created|dropped)|"
    r"network connections?|connections? to|scheduled tasks?|services? (?:is |are |being )?installed"
        r"|install\w* (?:an? )?(?:new )?services?|events?|password|authentication|sudo|privileges?|credentials?|brute"
        r"|lateral|persist\w*|injections?|inject\w*|drivers?|malware|executables?|scripts?)\b"
)  # fmt: skip
STARTED_BY = re.compile(
    r"\b(?:that (?:is|was|were|are) |which (?:is|was) |being |is |are |was |were )?(?:directly )?(?P<how>start|launch|spawn"
        r"|execut|open|creat|run|call|invok)(?:ed|t|)? (?:by|from|out of)\s+|\b(?:as )?(?:an? )?(?P<child>child(?:ren)?"
        r"|descendants?|offspring|descend(?:s|ed|ing)|stem(?:s|med|ming)) (?:process(?:es)? )?(?:of|from)\s+"
        r"|\bunder(?:neath)?\s+(?=\S+\.exe)"
)  # fmt: skip
COUNT = re.compile(
    r"^(?:if |when )?(?P<more>more than|over|at least|no fewer than|from)?\s*(?P<n>\d{1,7})\s*(?P<plus>or more|\+)?\s+(?=[a-z])"
)
BY = re.compile(
    r"\b(?:by|from|of|on|per|for|to)\s+(?:the same|one|a single|a|each|every|any single|any one)\s+(?P<x>process|program"
    r"|user|account|person|host|computer|machine|address|ip(?: address)?|source|file|target)\b"
)
USER = re.compile(
    r"\b(?:by|of|as|under|from)\s+(?:the )?(?:user|account|user account)\s+(?P<x>[\w.\\$@-]+(?: (?:service|authority\S*))?)"
    r"|\b(?:by|as)\s+(?P<y>system|root|administrator|admin)\b(?!\w|\.)|\b(?:user|account)\s+(?P<z>(?!is\b|who\b|that\b"
    r"|log|start|fail|creat)[\w.\\$@-]+)"
)
HOST = re.compile(r"\bon\s+(?:the )?(?:host|computer|machine|server|workstation)\s+(?P<x>[\w.-]+)")
TEXT = re.compile(
    r"\b(?:with|whose|where|having|and)?\s*(?:an? |the |its )?(?:command ?line|arguments?|parameters?|message|text"
        r"|line)\s*(?:that |which )?(?:contain(?:s|ing)?|includ(?:es|ing|e)|has|having|with|holds|says|mentions"
        r"|is)?\s*[\"“'«](?P<q>[^\"”'»]{1,120})[\"”'»]"
    r"|\b(?:with|whose|where|having)?\s*(?:an? |the |its )?(?:command ?line|arguments?|parameters?)\s*(?:that "
        r"|which )?(?:contain(?:s|ing)?|includ(?:es|ing|e)|has|having|with|holds)\s+(?P<w>\S+)"
    r"|\b(?:with|contain(?:s|ing)?|includ(?:es|ing)|mention(?:s"
        r"|ing)?)\s+[\"“'«](?P<v>[^\"”'»]{1,120})[\"”'»](?:\s+in (?:its|the) (?:command ?line|arguments?|message))?"
    r"|\bwith\s+(?P<u>-{1,2}[\w-]+)(?:\s+in (?:its|the) (?:command ?line|arguments?))?"
)  # fmt: skip
OUTSIDE = re.compile(
    r"\b(?:to |with )?(?:the )?(?:internet|outside(?: world)?|(?:external|outside|foreign|public) (?:address(?:es)?|ips?"
    r"|hosts?|servers?|networks?))\b"
)
ADDRESS = re.compile(
    r"\bto (?:the )?(?:address |ip )?(?P<x>(?:\d{1,3}\.){3}[\d*]{1,3}(?::\d+)?|[\w-]+(?:\.[\w-]+)*\.(?:com|net|org|io|ru|cn"
    r"|info|biz|local))\b"
)
