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
    (("write", "rename", "stream"), r"writ(?:es|ing|e|ten)(?: to)?|wrote(?: to)?|download(?:ed|ing|s(?= (?:an?|the|any|\S*\.)))"
        r"|drop(?:s|ped|ping)?|creat(?:es|ed|ing"
        r"|e)(?= (?:in|under|inside|into|at) | (?:an? |any |the )?(?:\S+ )?(?:files?|executables?|scripts?|dumps?|documents?"
        r"|\S*[.*]\S*))|sav(?:es|ed|ing"
        r"|e)|modif(?:ies|ied|ying|y)|edit(?:s|ed|ing)?|encrypt(?:s|ed|ing)?|overwrit(?:es|ten|ing|e)"),
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
    (("rename",), r"(?:file )?renames|renamed files|files? (?:being |are |is |were |was )?renamed|renamings?"),
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
    r"(?<![\w.])/(?:etc|usr|var|bin|sbin|opt|home|root|tmp|proc|sys|dev)\b|\b[a-z]:\\|(?<!\w)\*?\.[a-z][a-z0-9]{1,5}\b(?! \d)"
    r"|\.exe\b|\.dll\b|\.ps1\b|\b(?:process(?:es)?|programs?|log-?ins?|log-?ons?|log(?:s|ging)? (?:in|on)"
    r"|user \w+|sign-?ins?|logged (?:in|on)|registry|run keys?|command lines?|accounts?|ip address(?:es)?|dns|dlls?|exes?|macros?|"
    r"files? (?:deletes|deletions?|writes|renames?)|(?:delet|renam|encrypt|writ|drop|creat|modif|read|open)\w* (?:an? |any "
        r"|the |more than \d+ |at least \d+ )*(?:\S+ )?(?:files?|executables?|scripts?|dumps?|documents?)|(?:files?|executables?|scripts?"
        r"|documents?) (?:are |is |being |were )?(?:deleted|written|renamed|encrypted|created|dropped|modified|started|run)|"
    r"network connections?|connections? to|scheduled tasks?|services? (?:is |are |being )?installed"
        r"|install\w* (?:an? )?(?:new )?services?|events?|event log|password|authentication|sudo|privileges?|credentials?|brute"
        r"|lateral|persist\w*|injections?|inject\w*|drivers?|malware|executables?|scripts?|(?:tcp |udp )?port \d+|ssh|rdp)\b"
)  # fmt: skip
EXCEPT = re.compile(
    r"^(?P<what>.*?)\s*\b(?:but(?: not)?|except(?: for)?|other than|apart from|besides|excluding|not being"
    r"|(?:that|which|who) (?:is|are) (?:not|no|none of))\s+(?:by |from |in )?(?P<x>.+)$"
)
"""Who is meant, and who is not: "anyone but svchost.exe", "any user except alice"."""
OUTSIDE_OF = re.compile(
    r"^(?P<what>.*?)\s*\b(?:outside(?: of)?|not (?:in|from|under|inside|below)|elsewhere than in)\s+(?P<x>.+)$"
)
"""Of things in a place those that lie elsewhere: "svchost.exe outside System32"."""
TEXT_WORDS: tuple[tuple[str, str], ...] = (
    (
        r"\b(?:with|using|running|having)\s+(?:an? |any )?(?:base64[- ]?)?(?:encoded|encrypted|base64) (?:commands?|scripts?"
        r"|arguments?|command lines?)",
        "-enc",
    ),
    (r"\b(?:with|in|using)\s+(?:an? )?hidden window(?: style)?", "hidden"),
)
"""Things a command line tells by a fixed word."""
COMMANDS = re.compile(
    r"^(?:an? |any |the )?(?P<p>(?:vssadmin|wbadmin|bcdedit|net1?|netsh|sc|schtasks|reg|wmic|wevtutil|fsutil|certutil"
    r"|bitsadmin|nltest|cipher"
    r"|icacls|takeown|attrib|route|systemctl|crontab|useradd|usermod|chmod|iptables|powercfg)(?:\.exe)?)\s+"
    r"(?P<x>(?!is\b|are\b|was\b|being\b|by\b|started\b|run\b|running\b|from\b|in\b|on\b|to\b|and\b|or\b|with\b|that\b|which\b|writing\b"
    r"|\w+ing\b|\w+ed\b|connects\b|starts\b|writes\b|reads\b|opens\b|deletes\b|does\b|not\b|outside\b|except\b|but\b)"
    r"(?:(?:user|localgroup|group|accounts|use|view|share|start|stop|delete|add|create|query|save|export|set|list|resize"
    r"|shadowcopy|process|call"
    r"|os|node|el|cl|clear-log|advfirewall|firewall|interface|wlan|dump|enable|disable)\b|\S*[/-]\S)[\w/.=:\\-]*(?: (?!(?:by"
    r"|when|while|at|on|from|during|as|for|with|without|in)\b)[\w/.=:\\-]+){0,5})$"
)
"""A command-line tool and what is typed behind it ("vssadmin delete shadows")."""
STARTED_BY = re.compile(
    r"\b(?:that (?:is|was|were|are) |which (?:is|was) |being |is |are |was |were )?(?P<not>not "
    r"|never )?(?:being )?(?:directly )?(?P<how>start|launch|spawn"
        r"|execut|open|creat|run|call|invok)(?:ed|t|)? (?:by|from|out of)\s+|\b(?:as )?(?:an? )?(?P<child>child(?:ren)?"
        r"|descendants?|offspring|descend(?:s|ed|ing)|stem(?:s|med|ming)) (?:process(?:es)? )?(?:of|from)\s+"
        r"|\bunder(?:neath)?\s+(?=\S+\.exe)"
    r"|\b(?:with (?:an? |the )?parent(?: process)?(?: of| being| named)?|whose parent(?: process)? (?:is|was))\s+(?P<not2>not )?"
)  # fmt: skip
_MORE = r"(?P<more>more than|over|at least|no fewer than|from)?\s*(?P<n>\d{1,7})\s*(?P<plus>or more|\+)?"
COUNT = re.compile(rf"^(?:if |when )?{_MORE}(?P<n2>)\s+(?=[a-z.*])")
COUNT_INSIDE = re.compile(
    r"\b(?P<more>more than|over|at least)\s+(?P<n>\d{1,7})(?P<plus>)\s+(?=[a-z.*])|(?<=\s)(?P<n2>\d{1,7}) (?:or more |\+ ?)?(?=times\b)"
)
_ENTITY = (
    r"(?P<x>process(?:es)?|programs?|users?|accounts?|persons?|people|hosts?|computers?|machines?|servers?|workstations?"
    r"|(?:ip )?address(?:es)?"
    r"|(?:source |remote |client )?ips?|sources?|files?|targets?)"
)
BY = re.compile(
    rf"\b(?:by|from|of|on|per|for|to|with|in)\s+(?:the same|one|1|a single|a|an|each|every|any single|any one|any 1|one and the same)\s+"
    rf"(?:same |single |source |remote |client |user )?{_ENTITY}\b|\bper {_ENTITY.replace('<x>', '<y>')}\b"
)
DOER = re.compile(
    rf"^(?:an?|one|1|the same|a single|each|every|any|any single)\s+{_ENTITY}\b(?=\s+(?:that|which|who|whose"
    rf"|\w+s\b|\w+ing\b|with\b))"
)
"""Who does something often: "a process that deletes more than 50 files"."""
DISTINCT = re.compile(rf"\b(?P<d>different |distinct |unique |various |separate |other )?{_ENTITY}\b")
USER = re.compile(
    r"\b(?:by|of|as|under|from)\s+(?:the )?(?:user|account|user account)\s+(?P<x>[\w.\\$@-]+(?: (?:service|authority\S*))?)"
    r"|\b(?:by|as)\s+(?P<y>system|root|administrator|admin)\b(?!\w|\.)|\b(?:user|account)\s+(?P<z>(?!is\b|who\b|that\b"
    r"|log|start|fail|creat)[\w.\\$@-]+)"
)
USER_BESIDES = re.compile(
    r"\b(?:by|as|from|of)\s+(?:anyone|anybody|any (?:user|account|one)|users?|accounts?|somebody|someone|everyone)?\s*(?:but"
    r"|except(?: for)?"
    r"|other than|apart from|besides)\s+(?:the )?(?:user |account )?(?P<x>[\w\\$@-]+)(?![\w.])"
    r"|\b(?:anyone|anybody|someone|somebody|any (?:user|account)|users?|accounts?|everyone)\s+(?:but|except(?: for)?"
    r"|other than|apart from|besides)\s+"
    r"(?:the )?(?:user |account )?(?P<y>[\w\\$@-]+)(?![\w.])"
)
LOGIN_AS = re.compile(
    r"(?:(?<=ins )|(?<=ons )|(?<=in )|(?<=on ))as (?:the )?(?:user |account )?(?P<x>(?!an?\b"
    r"|any\b)[\w\\$@-]+)(?![\w.])"
)
USER_BEFORE = re.compile(
    r"^(?:an? |any )?(?P<x>root|administrator|guest|admin|system)(?= log-?(?:ins?|ons?)\b| log(?:s|ged"
    r"|ging) (?:in|on)\b| sign-?ins?\b)"
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
    r"(?<!from )(?<!from the )\b(?:to |with )?(?:the )?(?:internet|outside(?: world)?(?!\s+(?:of\b|[a-z\\/*.%]))|(?:external"
    r"|outside|foreign|public) (?:address(?:es)?|ips?"
    r"|hosts?|servers?|networks?))\b"
)
ADDRESS = re.compile(
    r"\b(?:to|on|over|via|at|with) (?:the )?(?:remote |destination |tcp |udp )*port (?P<p>\d{1,5})\b"
    r"|\bto (?:the )?(?:address |ip )?(?P<x>(?:\d{1,3}\.){3}[\d*]{1,3}(?::\d+)?|[\w-]+(?:\.[\w-]+)*\.(?:com|net|org|io|ru|cn"
    r"|info|biz|local))\b"
)
FLAGS = re.compile(
    r"^(?:an? )?(?P<p>[a-z][\w.]+)\s+(?P<x>[-/]{1,2}[a-z]\S*(?: (?!(?:by|when|while|at|on|from|during|as|for|in|is|are)\b)\S+){0,5})$"
)
"""A program and its flags ("powershell -ep bypass")."""
RUN_KEY = re.compile(
    r"\b(?:registry )?(?:auto)?run keys? (?:entry |entries )?(?:changes?|modifications?|writes|edits"
    r"|changed|modified)\b"
)
REGISTRY = re.compile(r"\\currentversion\\|^hk|^\*?\\?registry\\")
FILE_NAME = re.compile(r"\.[a-z]\w{1,3}$")
OF_ACCOUNTS = frozenset({"login", "failed", "brute", "privilege"})
"""Concepts that somebody with an account does: "logins by alice" names no process."""
RUNNING = re.compile(r"\b(?:lsass|csrss|smss|wininit|winlogon|services)\b")
"""Processes that always run: to open one is to reach into it, not to start it."""
EVERYDAY: frozenset[str] = frozenset({"delete", "write", "read", "start", "network"})
