"""`vafa cards`: the desk where cards are made. Chips through PC/SC, stripes through a serial card writer.

Whoever makes cards needs two officers; whoever looks at one needs nobody. Card numbers are shown masked, keys
and PINs never.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from simulators.cards import Card
from switch.card_issuing import CHIP_KEYS, card_keys, chip_identifier, desk_key
from switch.hsm.crypto.card_loading import KEY_BYTES
from switch.hsm.port import CardKey, Fault, HsmError, Key
from switch.iso8583.masks import mask_card_number
from switch.keys import KeysError, card_master_keys, card_value_keys, open_hsm, open_store
from switch.settings import Settings, load_for
from tools import cards_desk, keys_cards, keys_place
from tools.cards_desk import PROOF_CHALLENGE_BYTES, PcscCard, Personal, Port, Seen, Stripes, has
from tools.cli import CommandError, ExitCode
from tools.keys_officers import NotAgreed
from tools.keys_prompt import StandardPrompt
from tools.keys_room import KeyRoom

app = typer.Typer(no_args_is_help=True, help="The card desk: make, read and verify chip cards and stripes.")

CHIP_DIGITS = 16  # of cards with a chip: as many as its identifier holds
ISSUED, STRIPES_WRITTEN = "cards-issued", "stripes-written"  # what the log calls it
DEFAULT_WAIT_S = 30.0

Data = Annotated[Path | None, typer.Option(help="The switch's data directory. Default: data.")]
Config = Annotated[Path | None, typer.Option(help="The switch's settings file.")]
Reader = Annotated[str | None, typer.Option(help="PC/SC reader, by a part of its name.")]
Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait for a card.")]
Numbers = Annotated[Path | None, typer.Option("--cards", help="A file of card numbers, one a line.")]
Number = Annotated[list[str] | None, typer.Option("--card", help="A card number; others can see it.")]
Expiry = Annotated[str, typer.Option(help="Expiry on track 2: YYMM.")]
Service = Annotated[str, typer.Option(help="Service code on track 2: three digits.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a card on stdout.")]


@app.command("readers")
def show_readers() -> None:
    """The PC/SC readers that are plugged in.

    Example: vafa cards readers
    """
    known = cards_desk.readers()
    for name in known:
        typer.echo(name)
    if not known:
        raise CommandError("no reader", ExitCode.NETWORK, "plug one in; pcsc_scan shows what pcscd sees")


@app.command()
def read(reader: Reader = None, wait: Wait = DEFAULT_WAIT_S, as_json: AsJson = False) -> None:
    """Who the chip card in the reader says it is. What it says proves nothing: see verify.

    Example: vafa cards read
    """
    seen = _with_card(reader, wait, lambda card: has(card, cards_desk.read()))
    _told(seen.number, as_json, member=seen.member.hex().upper())


@app.command()
def verify(
    reader: Reader = None,
    wait: Wait = DEFAULT_WAIT_S,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Whether the chip card in the reader has its keys: a cryptogram, and mutual authentication, by the HSM.

    Example: vafa cards verify --data data
    """
    settings = load_for(data, config)

    def check(card: PcscCard) -> tuple[Seen, bool]:
        return asyncio.run(_is_genuine(settings, card))

    seen, genuine = _with_card(reader, wait, check)
    _told(seen.number, as_json, genuine=genuine)
    if not genuine:
        raise CommandError("the card doesn't have its keys", ExitCode.NEGATIVE, "take it out of use")


@app.command()
def issue(
    batch_key: Annotated[Path, typer.Option(help="File with the key of these blanks: 32 hex digits.")],
    expiry: Expiry,
    service: Service,
    card: Number = None,
    cards: Numbers = None,
    counter: Annotated[
        int, typer.Option(min=0, help="Counter to begin after: above that of a card that it replaces.")
    ] = 0,
    reader: Reader = None,
    wait: Wait = DEFAULT_WAIT_S,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Personalize blank chip cards, one after the other, and verify each. Two officers have to agree.

    Example: vafa cards issue --batch-key batch.key --cards new.txt --expiry 3012 --service 201
    """
    stripe = keys_cards.stripe_of(expiry, service)
    numbers = _chip_numbers(card or [], cards)
    blank = _batch_key(batch_key)
    settings = load_for(data, config)

    async def make(room: KeyRoom) -> None:
        transport = desk_key(settings)
        officers = room.officers.two(StandardPrompt(), f"issuing chip cards, {len(numbers)} in all")
        check_value = room.key("card/master").check_value
        room.record(ISSUED, officers, cards=str(len(numbers)), check_value=check_value)
        for place, number in enumerate(numbers, 1):
            identifier = chip_identifier(number)
            keys = await card_keys(room.hsm, room.store, transport, identifier, CHIP_KEYS)
            personal = Personal(
                identifier,
                f"{number}={stripe.expiry}{stripe.service}",
                keys[CardKey.AUTHENTICATION],
                keys[CardKey.PROOF],
                counter=counter,
            )
            typer.echo(f"card {place} of {len(numbers)}: put a blank in", err=True)
            pcsc = PcscCard(reader, wait)
            try:
                has(pcsc, cards_desk.personalize(blank, personal))
                seen, genuine = await _checked(room.hsm, card_master_keys(room.store)[:1], pcsc)
            finally:
                pcsc.close()
            if seen.number != number or not genuine:
                raise CommandError(
                    f"card {place}: not as it was made", ExitCode.NEGATIVE, "destroy it; begin with it again"
                )
            _told(number, as_json, genuine=True)

    _in_room(data, config, make)


@app.command()
def stripe(
    port: Annotated[Path, typer.Option(help="Serial port of the card writer (MSR605 and its like).")],
    expiry: Expiry,
    service: Service,
    card: Number = None,
    cards: Numbers = None,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Write track 2 with its verification value on cards, and read it back. Two officers have to agree.

    Example: vafa cards stripe --port /dev/ttyUSB0 --cards new.txt --expiry 3012 --service 101
    """
    told = keys_cards.stripe_of(expiry, service)
    numbers = keys_cards.numbers_of(card or [], cards)
    settings = load_for(data, config)

    async def make(room: KeyRoom) -> None:
        key = card_value_keys(room.store)[0]
        line = Port(port)
        try:
            writer = Stripes(line)
            officers = room.officers.two(StandardPrompt(), f"writing stripes, {len(numbers)} in all")
            room.record(STRIPES_WRITTEN, officers, cards=str(len(numbers)), check_value=key.check_value)
            for place, number in enumerate(numbers, 1):
                value = await room.hsm.card_value_generate(key, number, told.expiry, told.service)
                plain = Card(number, told.expiry, service_code=told.service)
                track = plain.with_value(value, settings.program.card_value_offset).track_2
                typer.echo(f"card {place} of {len(numbers)}: {mask_card_number(number)}", err=True)
                writer.write((None, track, None), lambda text: typer.echo(text, err=True))
                _told(number, as_json, written=True)
        finally:
            line.close()

    _in_room(data, config, make)


# ---------------------------------------------------------------- parts


async def _is_genuine(settings: Settings, card: PcscCard) -> tuple[Seen, bool]:
    hsm = await open_hsm(settings)
    try:
        return await _checked(hsm, card_master_keys(open_store(settings)), card)
    finally:
        await hsm.close()


async def _checked(hsm: Any, masters: Sequence[Key], card: cards_desk.Connection) -> tuple[Seen, bool]:
    """What the card says of itself, and whether it proves it both ways under one of these masters."""
    if not masters:
        raise KeysError("the key store has no card/master; vafa keys generate card/master")
    seen = has(card, cards_desk.read())
    if len(seen.number) != CHIP_DIGITS:
        return seen, False
    identifier = chip_identifier(seen.number)
    challenge = await hsm.random(PROOF_CHALLENGE_BYTES)
    counter, said = has(card, cards_desk.say(challenge))
    for master in masters:
        if await hsm.chip_verify(master, identifier, counter, challenge, said):
            first = await hsm.card_challenge(master, identifier, has(card, cards_desk.first_step()))
            reply = has(card, cards_desk.second_step(first.to_card))
            return seen, await hsm.card_confirm(master, identifier, first.state, reply)
    return seen, False


def _with_card(reader: str | None, wait: float, work: Callable[[PcscCard], Any]) -> Any:
    card = PcscCard(reader, wait)
    try:
        return _refusing(lambda: work(card))
    finally:
        card.close()


def _refusing(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except KeysError as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION) from None
    except HsmError as error:
        code = ExitCode.NETWORK if error.fault is Fault.UNAVAILABLE else ExitCode.CONFIGURATION
        raise CommandError(str(error), code, "check [hsm]; vafa hsm") from None


def _told(number: str, as_json: bool, **more: object) -> None:
    if as_json:
        typer.echo(json.dumps({"card": mask_card_number(number), **more}))
        return
    words = [_word(name, value) for name, value in more.items()]
    typer.echo("  ".join([mask_card_number(number), *words]))


def _word(name: str, value: object) -> str:
    if isinstance(value, bool):
        return name if value else f"not {name}"
    return f"{name} {value}"


def _chip_numbers(given: Sequence[str], file: Path | None) -> list[str]:
    numbers = keys_cards.numbers_of(given, file)
    for place, number in enumerate(numbers, 1):
        if len(number) != CHIP_DIGITS:
            raise CommandError(
                f"card {place}: a chip card's number has {CHIP_DIGITS} digits",
                ExitCode.USAGE,
                "correct it; nothing was made",
            )
    return numbers


def _batch_key(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise CommandError(
            f"{path}: no key of {2 * KEY_BYTES} hex digits",
            ExitCode.CONFIGURATION,
            "the maker of the blanks gives it with each batch",
        )
    return key


def _in_room(data: Path | None, config: Path | None, work: Callable[[KeyRoom], Awaitable[None]]) -> None:
    async def run() -> None:
        async with keys_place.room_of(data, config) as room:
            try:
                await work(room)
            except NotAgreed as error:
                room.record("not-agreed", (), activity=error.activity)
                raise

    # asyncio's own handler would wait for a card or an answer before it stops.
    before = signal.signal(signal.SIGINT, _interrupted)
    try:
        _refusing(lambda: asyncio.run(run()))
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt
