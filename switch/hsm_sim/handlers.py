"""Which function executes which command. A command of the layouts without a row here does not exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from switch.hsm_sim import data_commands, key_commands, pin_commands
from switch.hsm_sim.call import Answer, Call

HANDLERS: Final[dict[str, Callable[[Call], Answer]]] = {
    "NC": key_commands.diagnostics,
    "NO": key_commands.status,
    "N0": key_commands.random_bytes,
    "B2": key_commands.echo,
    "RA": key_commands.leave_authorised_state,
    "A0": key_commands.generate_key,
    "A4": key_commands.form_key,
    "A6": key_commands.import_key,
    "A8": key_commands.export_key,
    "BU": key_commands.key_check_value,
    "CA": pin_commands.translate,
    "CC": pin_commands.translate,
    "G0": pin_commands.translate_dukpt,
    "DC": pin_commands.verify_pvv,
    "EC": pin_commands.verify_pvv,
    "DA": pin_commands.verify_offset,
    "EA": pin_commands.verify_offset,
    "DG": pin_commands.pvv_of_master_key_pin,
    "FW": pin_commands.pvv_of_block,
    "CU": pin_commands.change_pvv,
    "DU": pin_commands.change_offset,
    "BK": pin_commands.offset_of_block,
    "GO": pin_commands.verify_dukpt_offset,
    "GQ": pin_commands.verify_dukpt_pvv,
    "JA": pin_commands.random_pin,
    "JC": pin_commands.to_master_key,
    "JE": pin_commands.to_master_key,
    "JG": pin_commands.from_master_key,
    "M6": data_commands.generate_mac,
    "M8": data_commands.verify_mac,
    "M0": data_commands.encipher_data,
    "M2": data_commands.decipher_data,
    "GW": data_commands.dukpt_mac,
    "CW": data_commands.card_value,
    "CY": data_commands.verify_card_value,
    "XA": data_commands.aes_dukpt_mac,
    "XC": data_commands.aes_dukpt_data,
    "XE": key_commands.initial_key,
    "XG": pin_commands.translate_private,
    "XI": pin_commands.make_verifier,
    "XK": pin_commands.check_verifier,
    "XM": data_commands.verify_tap,
    "XS": data_commands.open_tap,
    "X0": data_commands.verify_cryptogram,
    "X2": data_commands.card_key,
    "XO": data_commands.card_challenge,
    "XQ": data_commands.card_confirm,
    "XU": data_commands.hmac,
    "XW": pin_commands.verify_pvv_private,
    "XY": key_commands.generate_any,
}
