"""A partner on a ledger in PostgreSQL: the database dies under its line, the switch does, nothing is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

from simulators.partner import Bank, NotGenuine, points_of
from simulators.postgres_server import PostgresServer
from switch.ledger.verify import verify
from switch.link.errors import LinkTimeout
from tests.server.partner_kit import BANK, COMPONENTS, PartneredSwitch, connected, exchange_keys, played
from tests.server.running_switch import TerminalSide


def test_a_partner_trades_on_postgresql_through_the_deaths_of_database_and_switch(tmp_path: Path) -> None:
    with PostgresServer() as server:
        ledger = {"ledger.url": f'"{server.schema("partner")}"', "ledger.engine": '"postgres"'}
        switch = PartneredSwitch(tmp_path / "switch", changes=ledger)
        bank = Bank(tmp_path, BANK, COMPONENTS)
        terminal = TerminalSide(switch)
        card = terminal.activated_card(points=50)
        earn = bank.earn(card, 100_000)
        redemption = bank.redemption(None, 1000, switch.track(card))

        async def while_the_database_dies() -> None:
            async with connected(bank, switch) as link:
                await exchange_keys(bank, switch, link)
                assert points_of(await bank.ask(link, earn)) == 60
                await asyncio.to_thread(server.kill)
                try:  # on its way when the database died: nobody can know; later ones are refused
                    answer = await bank.ask(link, redemption, timeout_s=2.0)
                except (LinkTimeout, NotGenuine):
                    pass
                else:
                    assert answer["39"] in ("91", "96")
                server.start()  # not on another thread: it would end with that
                answer = await bank.ask(link, bank.again(redemption))
                assert (answer["39"], points_of(answer)) == ("00", 50)

        async def afterwards() -> None:
            async with connected(bank, switch) as link:
                assert points_of(await bank.ask(link, bank.again(earn))) == 60, "as it was answered then"
                assert points_of(await bank.ask(link, redemption)) == 50
                assert (await bank.ask(link, bank.reversal_of(redemption)))["39"] == "00"
                assert points_of(await bank.ask(link, bank.balance(card))) == 60

        played(while_the_database_dies)
        switch.kill()
        switch.start()
        played(afterwards)
        assert switch.stop() == 0
        assert verify(switch.settings.ledger_place.store(), switch.settings.seal_key).problems == []
