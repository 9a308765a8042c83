"""`vafa sim`: simulated readers, keypads and whole terminals for a switch that runs.

Options in, exit codes out; the devices are in `simulators`. Card numbers are shown masked, always.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from simulators import flow_control, flows
from simulators.cards import Card, Deck, is_luhn_valid
from simulators.cashier import VISIT_SECONDS
from simulators.control import ControlError, JsonObject, ask
from simulators.counter import LONGEST_HOLD_MS, TAP_MS
from simulators.drawing import Watcher
from simulators.firmware import (
    ALL_DEVICES,
    INTERPRETERS,
    WAIT_SECONDS,
    NoSuchTerminal,
    Options,
    Place,
    Plugged,
    Terminal,
    TerminalInUse,
)
from simulators.issuing import issue_of, issued
from simulators.keypad import checked
from simulators.phone_line import LINES, line_named
from simulators.process import ProcessEnded
from simulators.readers import magstripe
from simulators.readers.magstripe import Corruption, SwipeFaults, corruption_named, swipe_request
from simulators.serial_port import PACE_9600_8N1
from simulators.smart_cards import SmartCard, made
from simulators.till import ECR17, FIELDS, WISHES, Till, TillPort
from simulators.wallet import Wallet
from switch.hsm.port import HsmError
from switch.keys import KeysError
from switch.server.card_values import VALUE_DIGITS
from switch.settings import SETTINGS_FILE, load_for
from terminal.drivers.codes import member_code
from tools.cli import CommandError, ExitCode

app = typer.Typer(
    no_args_is_help=True, help="Simulated readers, keypads and printers for a running firmware."
)

DEFAULT_DATA = Path("data")
COUNTS_A_TAP = 100  # of a card's counter, kept free for one: whoever reads it again and again counts, too
COUNTS_AN_INSERTION = 1000  # as many proofs as anybody may ask of it until it is taken out
TILL_SECONDS = 180.0  # a customer looks for a card, a call is made
TILLS = {"columns": ECR17["message"], "fields": FIELDS}
# Longer than the terminal is waited for at any step: so it is told which screen it stays at.
FLOW_SECONDS = WAIT_SECONDS + VISIT_SECONDS
CONTROL_SECONDS = 60.0  # a swipe at real pace takes a second; a torn one some more

Data = Annotated[Path, typer.Option(help="Data directory of the switch.")]
TerminalId = Annotated[
    str | None, typer.Option("--terminal", help="Terminal (DE 41). Default: the one that runs.")
]
Control = Annotated[Path | None, typer.Option(help="The device's control socket, instead of --data.")]
CardNumber = Annotated[str | None, typer.Option("--card", help="Number. Default: the drawer's newest card.")]
NewCard = Annotated[bool, typer.Option("--new", help="Take a new card of the program.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.command()
def swipe(
    card: Annotated[str | None, typer.Option(help="Card number. Default: the newest of the drawer.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Take a new card of the program.")] = False,
    value: Annotated[
        str | None, typer.Option(help="Another card verification value than the right one: 3 digits.")
    ] = None,
    data: Data = DEFAULT_DATA,
    terminal: TerminalId = None,
    control: Control = None,
    tear: Annotated[int, typer.Option(min=0, help="Pauses at random places within the swipe.")] = 0,
    tear_ms: Annotated[int, typer.Option(min=0, help="Length of each pause.")] = magstripe.DEFAULT_TEAR_MS,
    delay_ms: Annotated[int, typer.Option(min=0, help="Wait before the first byte.")] = 0,
    corrupt: Annotated[str | None, typer.Option(help=f"Spoil the bytes: {', '.join(Corruption)}.")] = None,
    seed: Annotated[int, typer.Option(help="Chooses the places of pauses and damage.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Pass one card through the reader of a running firmware.

    Example: vafa sim swipe --data data
    """
    try:
        damage = None if corrupt is None else corruption_named(corrupt)
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE, "vafa sim swipe --help") from None
    faults = SwipeFaults(tear, tear_ms, delay_ms, damage, seed)
    reader_control = control or _control(data, terminal, "reader.control")
    if value is not None and not (len(value) == VALUE_DIGITS and value.isascii() and value.isdigit()):
        raise CommandError(
            f"a card verification value has {VALUE_DIGITS} digits",
            ExitCode.USAGE,
            "vafa sim swipe --value 000",
        )
    taken = _issued(_card_to_swipe(card, new, data), value, data)
    answer = _ask(reader_control, swipe_request(taken, faults))
    if as_json:
        typer.echo(json.dumps({"card": taken.masked, "sent_bytes": answer["sent_bytes"], "corrupt": damage}))
    else:
        spoiled = f", {damage}" if damage else ""
        typer.echo(f"swiped {taken.masked}: {answer['sent_bytes']} bytes{spoiled}")


@app.command()
def keys(
    pressed: Annotated[
        str, typer.Argument(metavar="KEYS", help="0-9, A earn, B redeem, C balance, D activate, *, #.")
    ],
    data: Data = DEFAULT_DATA,
    terminal: TerminalId = None,
    control: Control = None,
) -> None:
    """Press keys of a running firmware's keypad.

    Example: vafa sim keys "2500000#"
    """
    try:
        checked(pressed)
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE, 'vafa sim keys "2500000#"') from None
    _ask(control or _control(data, terminal, "keypad.control"), {"do": "press", "keys": pressed})
    typer.echo(f"pressed {len(pressed)} keys")


@app.command()
def tap(
    card: CardNumber = None,
    new: NewCard = False,
    uid: Annotated[
        str | None, typer.Option(help="A card that has nothing but this UID: 8 hex digits.")
    ] = None,
    hold_ms: Annotated[
        int, typer.Option(min=1, max=LONGEST_HOLD_MS, help="How long it lies there.")
    ] = TAP_MS,
    data: Data = DEFAULT_DATA,
    terminal: TerminalId = None,
) -> None:
    """Lay a card on the contactless reader of a running firmware, and take it away.

    Example: vafa sim tap --data data
    """
    control = _control(data, terminal, "tap.control")
    if uid is None:
        taken = _card_to_swipe(card, new, data)
        request = _smart(taken, data).to_tap(Wallet(data).count(taken, COUNTS_A_TAP))
        shown = taken.masked
    else:
        request, shown = {"do": "tap", "uid": uid}, "a card with a UID only"
    _ask(control, {**request, "hold_ms": hold_ms})
    typer.echo(f"tapped {shown}")


@app.command()
def insert(
    card: CardNumber = None,
    new: NewCard = False,
    data: Data = DEFAULT_DATA,
    terminal: TerminalId = None,
) -> None:
    """Put a chip card into the reader of a running firmware; take-out ends it.

    Example: vafa sim insert --data data
    """
    control = _control(data, terminal, "chip.control")
    taken = _issued(_card_to_swipe(card, new, data), None, data)
    _ask(control, _smart(taken, data).to_insert(Wallet(data).count(taken, COUNTS_AN_INSERTION)))
    typer.echo(f"inserted {taken.masked}")


@app.command()
def take_out(data: Data = DEFAULT_DATA, terminal: TerminalId = None) -> None:
    """Take the chip card out of the reader.

    Example: vafa sim take-out --data data
    """
    _ask(_control(data, terminal, "chip.control"), {"do": "take_out"})
    typer.echo("taken out")


@app.command()
def scan(
    text: Annotated[str | None, typer.Argument(help="Default: the member code of a card.")] = None,
    card: CardNumber = None,
    data: Data = DEFAULT_DATA,
    terminal: TerminalId = None,
) -> None:
    """Hold a barcode or QR code before the scanner of a running firmware.

    Example: vafa sim scan 6260000000019 --data data
    """
    shown = "a code"
    if text is None:
        taken = _card_to_swipe(card, False, data)
        if not is_luhn_valid(taken.number):
            raise CommandError("the last digit is not the Luhn digit: no member code has it", ExitCode.USAGE)
        text, shown = member_code(taken.number), f"the member code of {taken.masked}"
    answer = _ask(_control(data, terminal, "scanner.control"), {"do": "scan", "text": text})
    typer.echo(f"scanned {shown}" if answer["read"] else "the scanner was not looking")


@app.command()
def unplug(
    device: Annotated[str, typer.Argument(help="reader, keypad, printer, service, tap, chip, scanner.")],
    data: Data = DEFAULT_DATA,
    terminal: TerminalId = None,
) -> None:
    """Pull the cable of a device of a running firmware.

    Example: vafa sim unplug printer --data data
    """
    _ask(_control(data, terminal, "devices.control"), {"do": "unplug", "device": device})
    typer.echo(f"unplugged {device}")


@app.command()
def plug(
    device: Annotated[str, typer.Argument(help="As of unplug.")],
    data: Data = DEFAULT_DATA,
    terminal: TerminalId = None,
) -> None:
    """Put the cable of a device back.

    Example: vafa sim plug printer --data data
    """
    _ask(_control(data, terminal, "devices.control"), {"do": "plug", "device": device})
    typer.echo(f"plugged {device}")


@app.command()
def wrong(
    device: Annotated[str, typer.Argument(help="tap, chip or scanner.")],
    fault: Annotated[str, typer.Argument(help="silent, damaged, babbles ...; another one lists them.")],
    times: Annotated[int, typer.Argument(min=0, help="How often; 0 ends it.")] = 1,
    data: Data = DEFAULT_DATA,
    terminal: TerminalId = None,
) -> None:
    """Have a device of a running firmware go wrong.

    Example: vafa sim wrong tap silent 20 --data data
    """
    _ask(_control(data, terminal, f"{device}.control"), {"do": "wrong", fault: times})
    typer.echo(f"{device}: {fault} {times} times")


@app.command()
def flow(
    script: Annotated[str | None, typer.Argument(help="Without one they are listed.")] = None,
    values: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="amount=2500000 pin=1234 ...")
    ] = None,
    card: CardNumber = None,
    new: NewCard = False,
    other: Annotated[str | None, typer.Option(help="The other card. Default: a new one.")] = None,
    data: Data = DEFAULT_DATA,
    terminal: TerminalId = None,
    as_json: AsJson = False,
) -> None:
    """Have a cashier do a whole flow at a running terminal: cards, keys, and what comes of it.

    Exit code 1: a transaction was declined. Example: vafa sim flow earn amount=2500000
    """
    if script is None or script not in flows.SCRIPTS:
        for name in flows.SCRIPTS:
            typer.echo("  ".join([name, *flows.values_of(name)]))
        if script is not None:
            raise CommandError(f"no flow is called {script!r}", ExitCode.USAGE, "vafa sim flow")
        return
    request: dict[str, Any] = {"do": "play", "script": script, "values": _values(values or [])}
    control = _control(data, terminal, f"{flow_control.NAME}.control")
    if flows.needs(script, flows.CARD) or "card" in flows.values_of(script):
        request["card"] = swipe_request(_issued(_card_to_swipe(card, new, data), None, data), None)
    if flows.needs(script, flows.OTHER):
        request["other"] = swipe_request(
            _issued(_card_to_swipe(other, other is None, data), None, data), None
        )
    answer = _ask(control, request, FLOW_SECONDS)
    transactions, receipts = _objects(answer["transactions"]), answer["receipts"]
    if as_json:
        typer.echo(json.dumps({"transactions": transactions, "receipts": receipts}, ensure_ascii=False))
    else:
        for done in transactions:
            outcome = "approved" if done["approved"] else f"declined {done['response_code']}"
            told = [f"{name} {done[name]}" for name in ("points", "balance") if done[name]]
            typer.echo(f"{done['flow']}: {', '.join([outcome, *told])}")
        if not transactions:
            typer.echo("no transaction")
        typer.echo(f"receipts: {len(_objects(receipts))}")
    if not all(done["approved"] for done in transactions):
        raise typer.Exit(ExitCode.NEGATIVE)


def _values(given: list[str]) -> dict[str, str]:
    found = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not sign:
            raise CommandError(
                f"{one!r} is no NAME=VALUE", ExitCode.USAGE, "vafa sim flow earn amount=2500000"
            )
        found[name] = value
    return found


def _objects(found: object) -> list[Any]:
    return found if isinstance(found, list) else []


@app.command()
def reader(
    link: Annotated[Path, typer.Option(help="Where the firmware opens the serial line.")],
    control: Annotated[Path, typer.Option(help="Unix socket that takes requests.")],
    pace: Annotated[int, typer.Option(min=0, help="Bytes a second, 0: as fast as possible.")] = PACE_9600_8N1,
) -> None:
    """Be a magnetic stripe reader on a pseudo-terminal until Ctrl-C.

    Example: vafa sim reader --link reader --control reader.control
    """
    try:
        magstripe.run(link, control, pace)
    except OSError as error:
        raise CommandError(f"the reader cannot start: {error}", ExitCode.CONFIGURATION) from None


@app.command("terminal")
def run_terminal(
    terminal: Annotated[str, typer.Option("--terminal", help="Terminal (DE 41).")] = "10000001",
    data: Data = DEFAULT_DATA,
    host: Annotated[
        str | None, typer.Option(help="Switch, instead of the one in the terminal's settings.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Its port.")] = None,
    locale: Annotated[str | None, typer.Option(help="Language of the screens: en or fa.")] = None,
    interpreter: Annotated[str, typer.Option(help=f"{' or '.join(INTERPRETERS)}.")] = "micropython",
    line: Annotated[
        list[str] | None,
        typer.Option(help=f"tcp, or one of {', '.join(LINES)}; twice: the second is the backup."),
    ] = None,
    till: Annotated[
        str | None, typer.Option(help="A cash register: columns (ECR17) or fields (with pipes).")
    ] = None,
) -> None:
    """Run the firmware with its devices against a running switch; screens and receipts are printed until
    Ctrl-C.

    Example: vafa sim terminal --terminal 10000002 --data data
    """
    if interpreter not in INTERPRETERS:
        raise CommandError(
            f"unknown interpreter {interpreter!r}",
            ExitCode.USAGE,
            f"--interpreter {' or '.join(INTERPRETERS)}",
        )
    settings = {"host": host, "port": port, "locale": locale}
    given = {name: value for name, value in settings.items() if value is not None}
    place = Place(data.absolute(), terminal)
    further, lines = _further(place, given, line or [], till)
    options = Options(settings={**given, **lines}, devices=ALL_DEVICES, further=further)
    _run(_terminal_until_stopped(place, interpreter, options))


def _further(
    place: Place, given: Mapping[str, object], names: list[str], till: str | None
) -> tuple[dict[str, Plugged], dict[str, object]]:
    """Modem and register, and the setting of the lines."""
    further: dict[str, Plugged] = {}
    lines: list[dict[str, object]] = []
    try:
        settings = {**json.loads(place.given_settings.read_text("utf-8")), **given} if names else given
    except FileNotFoundError:
        settings = {"host": "", "port": 0}  # told when the terminal starts
    for name in names:
        if name == "tcp":
            lines.append({"kind": "tcp"})
            continue
        try:
            modem = line_named(name, str(settings["host"]), int(str(settings["port"])))
        except ValueError as error:
            raise CommandError(f"{error}, tcp", ExitCode.USAGE, "--line tcp --line dial") from None
        further["modem"] = modem
        lines.append(modem.line)
    if till is not None:
        if till not in TILLS:
            raise CommandError(f"unknown register {till!r}", ExitCode.USAGE, f"--till {' or '.join(TILLS)}")
        further["till"] = TillPort(Till(TILLS[till]), till)
    return further, {"lines": lines} if lines else {}


@app.command("till")
def ask_till(
    what: Annotated[str, typer.Argument(help=f"{', '.join(WISHES)}.")],
    amount: Annotated[int, typer.Option(min=0, help="Of a sale: rial, at most 8 digits.")] = 0,
    receipt: Annotated[str, typer.Option(help="Of a sale: the register's own number.")] = "",
    basket: Annotated[str, typer.Option(help="Of a sale: items, bread=120000;milk=350000.")] = "",
    stan: Annotated[str, typer.Option(help="Of a void; without one the newest.")] = "000000",
    data: Data = DEFAULT_DATA,
    terminal: TerminalId = None,
    as_json: AsJson = False,
) -> None:
    """Let the cash register of a running terminal ask it for something, and wait for the answer.

    Exit code 3: nobody acknowledged it, the register goes on without. Example: vafa sim till sale --amount
    2500000 --receipt A-17
    """
    request: JsonObject = {"do": what, "amount": amount, "receipt": receipt, "basket": basket, "stan": stan}
    answer = _ask(_control(data, terminal, "till.control"), request, TILL_SECONDS)
    if as_json:
        typer.echo(json.dumps(answer))
    elif answer["answer"] is not None:
        typer.echo(f"the terminal said: {answer['answer']}")
    if answer["answer"] is None:
        raise CommandError(
            "nobody acknowledged it: the register goes on without points",
            ExitCode.NETWORK,
            "vafa sim till last, when the terminal is back",
        )


@app.command("modem")
def tell_modem(
    what: Annotated[str, typer.Argument(help="What happens on the line; a wrong word lists them.")],
    data: Data = DEFAULT_DATA,
    terminal: TerminalId = None,
) -> None:
    """Say what the telephone or the mobile network of a running terminal does from now on.

    Example: vafa sim modem busy
    """
    _ask(_control(data, terminal, "modem.control"), {"do": what})
    typer.echo(f"modem: {what}")


async def _terminal_until_stopped(place: Place, interpreter: str, options: Options) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    terminal = Terminal(place, INTERPRETERS[interpreter](), options)
    watcher = Watcher(typer.echo, lambda: terminal.printer.picture)
    terminal.on_screen = watcher.screen
    terminal.on_receipt = watcher.receipt
    served = flow_control.FlowControl(terminal)
    try:
        await terminal.start()
        await served.start()
        typer.echo(f"terminal {place.terminal_id} runs; from another window:")
        typer.echo(f"  vafa sim swipe --data {place.data} --terminal {place.terminal_id} --new")
        for verb in ("tap", "insert", "scan"):
            typer.echo(f"  vafa sim {verb} --data {place.data} --terminal {place.terminal_id}")
        typer.echo(f'  vafa sim keys --data {place.data} --terminal {place.terminal_id} "2500000#"')
        typer.echo(f"  vafa sim flow --data {place.data} --terminal {place.terminal_id} balance")
        stop, end = asyncio.create_task(stopped.wait()), asyncio.create_task(terminal.ended())
        await asyncio.wait((stop, end), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not stopped.is_set():
            raise ProcessEnded(terminal.explain(f"the firmware ended with code {await end}"))
        end.cancel()
    finally:
        await served.stop()
        await terminal.stop()


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(work)
    except NoSuchTerminal as error:
        raise CommandError(
            str(error), ExitCode.CONFIGURATION, "vafa switch run makes it; give its --data"
        ) from None
    except TerminalInUse as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION, "choose another with --terminal") from None
    except ProcessEnded as error:
        raise CommandError(str(error), ExitCode.NEGATIVE) from None


def _card_to_swipe(number: str | None, new: bool, data: Path) -> Card:
    wallet = Wallet(data)
    if number is not None:
        if not (number.isascii() and number.isdigit() and 8 <= len(number) <= 19):
            raise CommandError("a card number has 8-19 digits", ExitCode.USAGE, "vafa sim swipe --new")
        if not is_luhn_valid(number):
            typer.echo(
                "note: the last digit is not the Luhn digit; the terminal will refuse the card", err=True
            )
        return Card(number)
    taken = None if new else wallet.top()
    if taken is None:
        taken = Deck().draw()
        if data.is_dir():
            wallet.put(taken)
    return taken


def _issued(card: Card, value: str | None, data: Path) -> Card:
    """The card as the installation of this data directory issued it, or with another value; where there is no
    installation, as it is. The HSM is asked for the value of a card's first swipe only."""
    if not (data / SETTINGS_FILE).exists():
        return card if value is None else card.with_value(value, 0)
    settings = load_for(data, None)
    if value is not None:
        return card.with_value(value, settings.program.card_value_offset)
    wallet = Wallet(data)
    try:
        issue = issue_of(settings)
        kept = wallet.written(card, issue)
        if kept is not None:
            return kept
        [written] = asyncio.run(issued(settings, [card]))
    except (KeysError, HsmError) as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION, "vafa sim swipe --value 000") from None
    if issue:
        wallet.keep(written, issue)
    return written


def _smart(card: Card, data: Path) -> SmartCard:
    """With the keys that the installation of this data directory gives it."""
    try:
        return asyncio.run(made(load_for(data, None), data, card))
    except (KeysError, HsmError) as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION, "vafa sim tap --uid 01020304") from None


def _control(data: Path, terminal: str | None, socket: str) -> Path:
    """The control socket of the terminal meant: the one named, or the only one that runs."""
    places = [Place(data, path.parent.name) for path in sorted((data / "run").glob("*/lock"))]
    running = [place for place in places if place.is_in_use and terminal in (None, place.terminal_id)]
    if not running:
        which = "no firmware runs" if terminal is None else f"terminal {terminal} does not run"
        raise CommandError(
            f"{which} with the data directory {data}",
            ExitCode.NETWORK,
            f"vafa demo --data {data}, or vafa sim terminal --data {data}",
        )
    if len(running) > 1:
        names = ", ".join(place.terminal_id for place in running)
        raise CommandError(
            f"several terminals run: {names}", ExitCode.USAGE, f"--terminal {running[0].terminal_id}"
        )
    return running[0].run / socket


def _ask(control: Path, request: JsonObject, timeout_seconds: float = CONTROL_SECONDS) -> JsonObject:
    try:
        return asyncio.run(ask(control, request, timeout_seconds))
    except ControlError as error:
        raise CommandError(str(error), ExitCode.NETWORK, "vafa sim terminal, or vafa demo") from None
