"""What a partner says in our words, our answers in the partner's: mappings (data) and translation. Pure.

mapping = load("iso87-ascii")            a shipped mapping, or a file; MappingError names every mistake
translator = Translator(mapping, ours)
asked = translator.asked(message, ...)   or Untranslatable: their path, what, our response code
answer = translator.answer(message, ours)
Nothing here knows keys, MACs, sockets or what a request comes to.
"""

from switch.partners.mapping import (
    AmountRow,
    Clock,
    Identity,
    Mapped,
    Network,
    PartnerMapping,
    Source,
)
from switch.partners.mapping_file import MappingError, load, shipped
from switch.partners.translation import Asked, Translator, Untranslatable

__all__ = [
    "AmountRow",
    "Asked",
    "Clock",
    "Identity",
    "Mapped",
    "MappingError",
    "Network",
    "PartnerMapping",
    "Source",
    "Translator",
    "Untranslatable",
    "load",
    "shipped",
]
