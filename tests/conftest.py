"""Runs JAX strictly, without silent change of rank, and with the flags of the package."""

from __future__ import annotations

import jax

import azero_jax

azero_jax.set_xla_flags()
jax.config.update("jax_numpy_rank_promotion", "raise")
