"""How people say that something is an anomaly or normal, and how serious: patterns over a sentence in lower case."""

from __future__ import annotations

import re

SEVERITY: tuple[tuple[int, str], ...] = (
    (3, r"critical|severe|an emergency|urgent|very (?:serious|dangerous|bad)|dangerous|top priority"),
    (2, r"serious|major|important|a (?:real |big )?problem|significant"),
    (1, r"minor|a warning|low priority|slight(?:ly)? (?:bad|abnormal)|only a hint|informational|mild"),
)
ABNORMAL = (
    r"(?:an? )?(?:anomal(?:y|ies|ous)|abnormal|suspicious|critical|severe|serious|dangerous|forbidden|prohibited"
    r"|not allowed|not permitted"
    r"|unacceptable|bad|wrong|malicious|a (?:real |big |minor |serious |critical |major )?(?:defect|fault|problem|error"
    r"|alarm|incident|violation"
    r"|warning|issue|threat|hazard)|an (?:emergency|incident|error|alarm|alert|issue|attack)|defects|faults|problems"
    r"|unusual|unauthori[sz]ed|urgent|minor|major"
    r"|important|illegal|banned|impossible|implausible|invalid|errors|an emergency|out of spec|weird|strange|top priority|mild|unexpected"
    r"|faulty|defective|broken|a nuisance|(?:a )?rejects?|rejected|scrap|nok|an? (?:minor|serious"
    r"|critical|major|severe) (?:anomaly|defect|finding|incident))"
)
NORMAL = (
    r"(?:perfectly |completely |totally |always |quite |just )*(?:normal|fine|okay|ok|alright|all right|expected|harmless"
    r"|allowed|permitted|acceptable|intended|legitimate|legit"
    r"|benign|good|safe|tolerated|tolerable|unproblematic|no (?:problem|issue|anomaly|defect|big deal|concern)|not (?:a"
    r"|an) (?:problem|issue"
    r"|anomaly|defect|fault|alarm|error)"
    r"|(?:a )?false alarms?|unimportant|irrelevant|not important|not abnormal|not suspicious|not critical|not dangerous"
    r"|not forbidden|not serious|nothing to worry about)"
)
SPOT = r"(?:in|on|at|near|inside|under|behind|next to|during) .{2,120}"
TAIL = r"(?: (?:here|for us|for me|in (?:this|our|my) \w+|too|as well|though|then|now))*"
PLACE = (
    r"(?P<place> (?:in|on|at|near|inside|under|behind|next to|during|when|while|whenever|if|unless|for|between|after"
    r"|before|outside|everywhere|within|only|but not|except) ?.{2,120})?"
)
LEAD = (
    r"^(?:please |from now on,? |in (?:the )?future,? |as of now,? |note that |remember(?: that)?:? |always |also |and "
    r"|but |no, |(?:new )?rule:? ?|now,? |here,? )*"
)
LET_PASS = r"(?:ignored|tolerated|accepted|disregarded|skipped|overlooked|let through|left out)"
REPORTED = r"(?:flagged|reported|marked|alarmed|detected|caught|rejected|sorted out|thrown out|investigated|notified)"
STATED = (
    # (polarity, pattern with x); the first that fits decides
    ("normal", rf"{LEAD}(?P<x>.{{2,}}?),? (?:can|may|should|must|has to|have to|is to|are to)(?: safely| always| just)* be {LET_PASS}"
        rf"{TAIL}{PLACE}$"),
    ("normal", rf"{LEAD}(?P<x>.{{2,}}?),? (?:need not|need never|(?:do|does) not (?:need|have) to|should not|must not|may not|are not to"
        rf"|is not to) be {REPORTED}{TAIL}{PLACE}$"),
    ("anomaly", rf"{LEAD}(?P<x>.{{2,}}?),? (?:should|must|shall|has to|have to|needs? to|is to|are to|will)(?: always| never)* be "
        rf"{REPORTED}{TAIL}{PLACE}$"),
    ("anomaly", rf"{LEAD}(?P<x>.{{2,}}?),? (?:should|must|may|can)(?: not| never)+ be {LET_PASS}{TAIL}{PLACE}$"),
    ("normal", rf"{LEAD}(?P<x>.{{2,}}?),? (?:do|does|did) (?:not|never) (?:really )?(?:matter|count|bother (?:me"
        rf"|us))(?: to us| to me| at all)?{TAIL}{PLACE}$"),
    ("anomaly", rf"{LEAD}(?P<x>.{{2,}}?) (?:do |does )?matters?(?: to us| to me| a lot)?$"),
    ("anomaly", rf"{LEAD}(?:i|we) (?:do not|never) want (?:to see |to have )?(?P<x>.{{2,}})$"),
    ("normal", rf"{LEAD}(?:i|we) (?:do not|never) (?:care about|mind|worry about|need to know about) (?:if |when |it when "
        rf"|that )?(?P<x>.{{2,}})$"),
    ("normal", rf"{LEAD}never mind (?P<x>.{{2,}})$"),
    ("normal", rf"{LEAD}(?:(?:it|that) is )?{NORMAL}(?: here)?,? (?:that|if|when|for|to have|to see) (?P<x>.{{2,}})$"),
    ("anomaly", rf"{LEAD}(?:it|that) is (?:not (?:normal|fine|okay|ok|allowed|permitted|acceptable|expected)"
        rf"|{ABNORMAL})(?: here)?,? (?:that|if|when|for|to have|to see) (?P<x>.{{2,}})$"),
    ("anomaly", rf"{LEAD}(?P<x>.{{2,}}?),? (?:(?:it|that|this) )?(?:is|are|was|were|counts? as|means?|would be|should be"
        rf"|will be|must be)(?: always| never| also| considered| treated as| to be)* not (?:at all )?(?:normal|fine|okay|ok"
        rf"|expected|acceptable|harmless|tolerated|legitimate|good|safe){TAIL}{PLACE}$"),
    ("normal", rf"{LEAD}(?P<x>.{{2,}}?),? (?:(?:it|that|this) )?(?:is|are|was|were|counts? as|means?|would be|should be"
        rf"|can be)(?: always| also| considered| treated as| to be)* {NORMAL}{TAIL}{PLACE}$"),
    ("anomaly", rf"{LEAD}(?P<x>.{{2,}}?),? (?:(?:it|that|this) )?(?:is|are|was|were|counts? as|means?|would be"
        rf"|should be)(?: always| never| also| considered| treated as| to be| very| highly"
        rf"| extremely)* {ABNORMAL}{TAIL}{PLACE}$"),
    ("normal", rf"{LEAD}(?:do not|never|stop|no need to) (?:flag|flagging|report|reporting|alert(?: me)?(?: on| about| for"
        rf"| when| if)?|mark|alarm(?: me)?(?: on| for| about| when| if)?|warn(?: me)?(?: about| when| if)?|complain about"
        rf"|worry about|bother about|mind|care about"
        rf"|count) (?P<x>.{{2,}})$"),
    ("anomaly", rf"{LEAD}(?:i|we) (?:need|want) (?:an? |the )?(?:alarm|alert|warning|message|notification)s? (?:once|when|if|as soon as"
        rf"|whenever|for|in case) (?P<x>.{{2,}})$"),
    ("anomaly", rf"{LEAD}(?:do not|never) (?:ignore|tolerate|allow|accept|permit|let) (?P<x>.{{2,}})$"),
    ("anomaly", rf"{LEAD}(?:flag|alarm|report|detect|catch|watch (?:out )?for|look (?:out )?for|find|mark|alert(?: me"
        rf"| us)?(?: on| about| for| when| if| whenever)?|warn(?: me| us)?(?: about| of| when| if| whenever)?"
        rf"|(?:raise|sound|give|trigger|send) (?:an?|the) (?:alarm|alert|warning)(?: for| when| if| on| whenever)?"
        rf"|tell me (?:when|whenever|if)|notify (?:me"
        rf"|us) (?:when|if|of|about|whenever)|forbid|prohibit):? (?:it (?:when|if) |every time |when |if "
        rf"|whenever )?(?P<x>.{{2,}})$"),
    ("normal", rf"{LEAD}(?:ignore|disregard|skip|tolerate|allow|permit|accept|whitelist|exclude|mute|suppress"
        rf"|overlook) (?:it when |that |when |if )?(?P<x>.{{2,}})$"),
)  # fmt: skip
AS = re.compile(rf"(?P<x>.{{2,}}?) as (?:an? )?(?P<state>{NORMAL}|{ABNORMAL})$")
ELSE = r"(?:(?:everything|anything|all|any|every value) else|the rest|any other value|other values|every other value)"
OTHERWISE = re.compile(
    rf",? (?:and |but )?(?:otherwise|in all other cases|{ELSE}),? (?:(?:please )?(?:ignore|skip|accept|tolerate) (?:it|that|this|them)"
    rf"|(?:it |that |this )?(?:is|are) {NORMAL})$"
)
"""What an anomaly is not about, said once more: it changes nothing."""
BOTH = re.compile(
    rf"\b(?:is|are) {ABNORMAL},? (?:and|but) .*\b(?:is|are) {NORMAL}$|\b(?:is|are) {NORMAL},? (?:and|but) .*\b(?:is|are) {ABNORMAL}$"
)
REST_IS_NOT = re.compile(
    rf"{LEAD}(?P<x>.{{2,}}?) (?:is|are) {NORMAL},? (?:and |but )?(?:{ELSE}|otherwise)(?: it)?(?: (?:is|are))? (?:not(?: {NORMAL})?"
    rf"|{ABNORMAL})$"
    rf"|{LEAD}(?:only|nothing but) (?P<only>.{{2,}}?) (?:is|are) {NORMAL}{TAIL}$"
)
"""What is normal, everything else is not: a duty."""
THEN = re.compile(
    r"^(?P<x>.{2,}?),? (?:then )?(?:(?:please )?(?:raise|send|give|issue|trigger|sound|show)(?: me| us)? (?:an? |the )?"
    r"(?:alarm|alert|warning|message|e-?mail|notification)|alert (?:me|us)|warn (?:me|us)|tell (?:me|us)"
    r"|let (?:me|us) know|notify (?:me|us)|flag (?:it|that|this)|report (?:it|that|this)|call (?:me|us)|alert|alarm)$"
)
MEANS = re.compile(
    r"^(?P<x>.{4,}?),? (?:means|indicates|points to|signals|suggests|is a (?:clear )?sign of|is typical (?:of"
    r"|for)) (?P<y>(?!no\b|nothing\b|that\b)\D{3,60})$"
)
"""What an anomaly is the sign of: a name for it, which changes nothing."""
