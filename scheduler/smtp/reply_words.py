"""Words by which the subject of a relay's reply is recognized; `replies` has the rules that use them.

Each constant is a regular expression, written in lower case and matched in any case. The words were collected from the
documentation of relays and the tables of public bounce libraries. Words about which two of those disagree, such as
"Address rejected" alone, are left out.
"""

from __future__ import annotations

_WHO = (
    r"user", r"recipient", r"mail ?-?box", r"addressee", r"alias", r"utilisateur", r"destinataire", r"customer",
    r"person", r"(e-?mail |that )address",
)  # fmt: skip
_NOT_THERE = (
    r"unknown", r"inconnue?", r"invalid\w{0,8}", r"unrecogni[sz]ed", r"non-?existent",
    r"(not|n[o'’]t|never) (be )?(found|exist\w{0,3}|known|valid|local|recogni[sz]ed|present|ok)",
    r"not a (known|valid|local|registered)",
    r"no longer (on|valid|available)",
)  # fmt: skip
_OF_OURS = (
    r"daily", r"hourly", r"sending", r"send", r"sent", r"relay", r"submission", r"outgoing", r"outbound", r"smtp",
    r"24[- ]hours?", r"(e-?mail|message)s? per (second|minute|hour|day|month)",
)  # fmt: skip


def _any(*alternatives: str) -> str:
    return "|".join(alternatives)


_SOMEBODY = rf"\b({_any(*_WHO)})"
OF_OURS = rf"\b({_any(*_OF_OURS)})\b"
"""Words about sending, never about a mailbox."""
OUR_LIMIT = rf"{OF_OURS}.{{0,60}}\b(limit|quota)|throttl|rate[- ]?limit"
"""We send too much; decisive whatever the other words are."""
OF_THE_SENDER = _any(
    r"\boriginator\b",
    r"\b(return|reverse)[- ]?path\b",
    r"\bof (the |our )?sender\b",
    r"disabled for sending",
    r"\byour (mail ?-?box|account)\b.{0,40}\b(full|quota|exist|unknown|not found|disabled|suspended|blocked|closed)",
    r"\btrial\b.{0,20}\bexpired",
    r"upgrade your (plan|account|subscription)",
    r"sandbox mode",
)
"""A mailbox or an account has a problem, and it is ours."""
BEGINS_UNKNOWN = (
    r"^\W*(<address>\W*)?(unknown user|user unknown|no such user|(user|mailbox|recipient) (does not exist|not found))"
    r"\b(?! in (the )?sender)"
)
"""There is no such mailbox, by the first words; text in brackets may follow."""
WHAT_ONE_SENDS = _any(
    r"(limit|quota|maximum|number)\b.{0,40}\b(that|which) can be sent",
    r"\b(sending|send|outgoing|outbound) (limit|quota|rate)s?\b.{0,40}\bexceed",
    r"exceed\w{0,8}.{0,40}\b(sending|outgoing|outbound) (limit|quota|rate)",
    r"(quota|limite) d'envoi",
    r"l[ií]mite de env[ií]o",
    r"versandlimit",
    r"limite de envio",
    r"limite di invio",
    r"лимит (на )?отправ",
    r"发送(频率|数量|次数|限制|配额)",
)
"""We send too much, though a user or a mailbox is named."""
UNKNOWN = _any(
    r"\b(unknown|no such|invalid|bad|illegal|non-?existent) ((e-?mail|virtual|destination|recipient|or \w{1,9}) ){0,2}"
    r"(user|recipient|mail ?-?box|account|alias|local[- ]?part|person|id\b|addressee|mail drop)",
    r"\b(no such|unknown) (e-?mail )?address", rf"{_SOMEBODY}s?\b.{{0,40}}\b({_any(*_NOT_THERE)})\b",
    r"address (is )?(unknown|does not exist|not present|invalid|could not be found)", r"invalid address",
    r"account (that you tried to reach )?(does not exist|not found|unknown)", r"no account by", r"no mail ?-?box",
    r"mail ?-?box name not allowed", r"no ?(one|body|person) (is )?(here|there|at this|with that)",
    r"\bnot a (known|valid|local) (user|recipient|mail ?box|address)", r"in name directory", r"recipient account$",
    r"need fully-qualified address", r"this user doesn.t have a", r"recipient ?not ?found",
    r"missing home directory", r"destination addresses were unknown", r"nessun utente",
    r"no existe (dicha|ese|el usuario)", r"nie istnieje", r"destinatario sconosciuto", r"not our customer",
    r"bad ?rcpt ?to", r"valid ?rcpt ?to", r"badrecipientto", r"(destinat\w{0,8}|utilisateur) (invalide|inconnu)",
    r"user missing",
)  # fmt: skip
"""There is no such mailbox."""
_SHUT = (
    r"disabled", r"deactivated", r"discontinued", r"suspended", r"inactive", r"expired", r"closed", r"terminated",
    r"frozen", r"archiv\w{0,8}", r"unava\w{0,8}ble", r"undeliverable", r"unroutable",
    r"not (active|activated|currently active|available|allowed|accepted)", r"denied", r"blocked by",
)  # fmt: skip
CLOSED = _any(
    rf"{_SOMEBODY}s?\b.{{0,40}}\b({_any(*_SHUT)})\b",
    r"(inactive|deactivated|disabled|expired|undeliverable|unroute?able) (e-?mail )?"
    r"(user|recipient|mail ?-?box|account|address)",
    r"account (is not active|closed|not activated|is currently inactive)", r"user account not activated",
    r"no longer accepts mail", r"email account that you tried to reach is disabled",
    r"recipient account is blocked", r"temporary locked", r"not an active address",
    r"\b(host|domain name) unknown", r"unknown host", r"no such domain", r"domain is not reachable",
    r"no mx (record )?found", r"mail receiving disabled", r"null ?mx",
    r"(host|domain|mail server).{0,20} does ?n[o'’]t accept (any )?mail", r"recipient domain must exist",
    r"unknown (recipient|destination) domain", r"recipient (address )?rejected\W*((user|access|invalid).{0,40})?$",
    r"recipient addresses rejected : access denied", r"cannot deliver mail for", r"disableduser",
    r"user is terminated",
)  # fmt: skip
"""The mailbox, or its domain, takes no mail at all."""
THEIR_CHOICE = _any(
    r"\bby ((the )?recipient|this user)\b", r"user rules", r"recipient preferences",
    r"(user|recipient)( id)? refuses?\b", r"user reject", r"only accept\w{0,8} mail from",
    r"is not accepting (any )?mail", r"members[- ]only", r"not subscribed to this (group|list)",
    r"post to this (mailing )?list", r"closed mailing list", r"recipient.s list", r"on the recipient",
    r"address blacklisted", r"bounced address", r"recipient suspend", r"envelope recipient", r"recipsizelimit",
    r"(for this|set by the|set by) recipient", r"restricted sms", r"this account is protected",
)  # fmt: skip
"""The recipient, or a relay's list of recipients, does not want this mail."""
FULL = _any(
    r"over.{0,12}quota", r"quota.{0,12}\b(exceed|violat|full)", r"exceed\w{0,8}.{0,20}\bquota", r"dis[ck] ?quota",
    r"mail ?quota", r"quota ?exceeded",
    r"(mail ?box|mail ?folder|maildir|inbox|boite|recipient|user|account)\b.{0,40}\b(pleine?|full)\b",
    r"full mailbox", r"mail file size",
    r"(mail ?box|recipient(?! list)|user)\b.{0,40}\b(storage|space|size limit|exceed\w{0,8}|limit)",
    r"space (left|has been used)", r"(enough|sufficient) (disk |storage )?space",
    r"too (many messages on|much mail data)",
)  # fmt: skip
"""The recipient's mailbox is full."""
GETS_TOO_MUCH = _any(
    r"receiv\w{0,8}.{0,20}\b(at a rate|too (quickly|many|much|fast)|rate|limits?)\b", r"receivingrate",
    r"rate that prevents", r"temporarily unavailable", r"recipient thread",
)  # fmt: skip
"""The recipient gets too much for now."""
LIMIT = _any(
    r"too (many(?! hops| received| messages on)|much(?! mail data)|fast|quickly|frequent)", r"throttl",
    r"rate[- ]?limit", r"slow(ing|er)? down", r"again slower", r"(sending|unusual|maximum) rate",
    r"excessive volume", r"unexpected volume", r"(connections?|thread)\b.{0,40}\blimit",
    rf"{OF_OURS}.{{0,40}}\b(limit|quota)", r"(recipients?|(message|e-?mail)s?(?! size| length))\b.{0,20}\blimits?\b",
    rf"\b(limit|quota|max|maximum)\b.{{0,40}}\b({_any(*_OF_OURS)}|(per|this|an) (hour|day|minute|month))",
    r"exceeded.{0,40}\b(per|this|an) (hour|day|minute|month)",
    r"\byou( have|.ve) (exceeded|reached).{0,40}\b(limit|quota)",
    r"\byour (account|plan|domain|user|daily)\b.{0,40}\b(quota|limit|credits?)", r"maximum credits",
    r"trop de (connexions|messages)",
)  # fmt: skip
"""We send too much."""
BLOCKED_SENDING = _any(
    r"hipnotify", r"hipsend", r"refusequota", r"outbound ?spam", r"unusual (sending )?activity", r"sending activity",
    r"outgoing (mail |e-?mail )?(is |has been )?blocked",
)  # fmt: skip
"""The relay has blocked what our account sends."""
OUR_REPUTATION = _any(
    r"block ?list", r"black ?-?list", r"deny ?list", r"spamhaus", r"spamcop", r"barracuda", r"sorbs\b", r"abuseat",
    r"invaluement", r"ivmsip", r"spamrl", r"drbl", r"dnsbl", r"\b[xsp]?rbl\b",
    r"\b(is|be|been|was) (listed|blocked) (at|by|in|on|as|using)",
    r"blocked (using|by (?!the recipient|recipient))", r"reputation", r"unsolicited", r"\bemail blocked",
    r"\b(your|sending|sender|client|bad|banned|from|invalid|sender.s) ip\b", r"\bserver ip\b",
    r"\bip (address|<address>|[\d.]+)", r"dynamic.{0,10}\bips?\b", r"dynamic/", r"\bips blocked", r"_is_blocked",
    r":blocked\)", r"blocked (- see|for abuse)", r"\bptr\b", r"reverse dns", r"\br-?dns\b", r"reverse lookup",
    r"find your (reverse )?hostname", r"name lookup failed", r"client ip", r"host (network|rejected)",
    r"remotehost", r"open proxy", r"dial-?up", r"client host", r"(from|of) your (ip|server|isp|network)",
    r"mail from [\d.]+ ", r"(mail|your|this) server (at |requires |access)", r"mail server at",
    r"allowed to connect", r"access to (this|submit)", r"(submit|send) messages to this", r"sending spam",
    r"sender policy", r"\bspf\b", r"\bdkim\b", r"\bdmarc", r"fails? authentication",
    r"user complaints", r"rejecting open", r"no access from",
    r"smtp server of your isp", r"confirm this mail server", r"content filter agent",
)  # fmt: skip
"""Our machine, network or domain is refused."""
SIZE = _any(
    r"(message|mail|content|header) (file )?(size|length|is too|too)", r"size (limit|exceed)",
    r"too (big|large|long)", r"message size", r"taille limite", r"line limit", r"mime (complexity|headers?)",
    r"rfc ?-?(5322|2822|822)", r"rfcmessage", r"duplicate header", r"header error", r"message header",
    r"8-bit data", r"binary content", r"base64", r"attachment", r"executable",
)  # fmt: skip
"""The form of the mail is refused, and all of our mails have it."""
OUR_CONTENT = _any(
    r"spam", r"\bjunk", r"virus", r"malware", r"phish", r"suspicious", r"bulk (e-?mail|mail|advert)",
    r"mass mailer", r"content (filter|policy|reject|denied)", r"(banned|unacceptable|mail|message) content",
    r"content (presents|denied)", r"message (content|denied|refused)", r"surbl", r"uribl", r"url in",
    r"security (issue|polic)", r"potential security", r"pattern detection", r"antispam",
    r"unsafe content", r"mail rejet",
)  # fmt: skip
"""The content of the mail is refused."""
OUR_FAULT = _any(
    r"\bsender", r"send ?as ?denied", r"helo\b", r"from address", r"from: ", r"mail from\b", r"emetteur",
    r"authenti[cf]", r"\blog ?in\b", r"starttls", r"\btls (is )?required", r"encryption (is )?(required|needed)",
    r"not (yet )?(authori[sz]ed|verified|registered)", r"credentials", r"unauthori[sz]ed",
    r"sending (is )?(denied|suspended|disabled|paused)", r"not allowed to send", r"send mail from",
    r"allowed to send",
    r"\byour (e-?mail )?(account|domain|subscription|server|network|service|organi[sz]ation|ip)\b",
    r"account not subscribed", r"administrative prohibition", r"verifyable", r"mismatches client", r"captcha",
    r"backscatter", r"\bbatv\b", r"third-party dsn", r"unsigned dsn",
)  # fmt: skip
"""The sender's address or the account that signed in is refused."""
NO_RELAYING = _any(
    r"\brelay(ing)? ?(access )?(is )?(denied|not|prohibited)",
    r"(unable|permitted|configured|allowed|not|as a|open|mail|insecure mail) (to )?relay", r"do not relay",
    r"no relaying", r"relaying (denied|mail|not)", r"rcpthost", r"not a gateway", r"isn.t allowed to relay",
    r"not local host", r"don.t handle mail for", r"gateway user", r"only relays",
)  # fmt: skip
"""The relay does not relay for us."""
