"""From a hidden state to a token: greedy, so that the same prompt has the same answer."""

from tinyserve.layers import mix


def token_of(state: int, vocabulary: int) -> int:
    """The most likely token of a state."""
    return mix(state, 11) % vocabulary


def logprob_of(state: int) -> float:
    """Logarithm of the token's probability, between -2 and 0."""
    return -(mix(state, 13) >> 11) / (1 << 53) * 2.0


def prompt_state(tokens: list[int]) -> int:
    """The state that a prompt begins with."""
    state = 0x243F6A8885A308D3
    for token in tokens:
        state = mix(state ^ token, 5)
    return state
