"""Extra options of XLA for single functions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax._src.lib import xla_client

from azero_jax import compile_options


def test_options_are_written_behind_serialised_ones():
    options = xla_client.CompileOptions()
    options.num_replicas = 3
    written = options.SerializeAsString() + compile_options.table_bytes(["mine=1", "x" * 200])
    read = xla_client.CompileOptions.ParseFromString(written)
    assert read.num_replicas == 3
    assert b"mine" in read.SerializeAsString() and b"x" * 200 in read.SerializeAsString()
    assert len(read.SerializeAsString()) < len(written)  # merged into one message, no longer behind it


def test_functions_of_the_users_are_compiled_as_before():
    assert compile_options.allow_extra_options() and compile_options.allow_extra_options()
    assert jax.jit(lambda x: x + 1)(1) == 2
    assert jax.jit(lambda x: x + 2, compiler_options={"xla_cpu_prefer_vector_width": 256})(1) == 3
    extra = {compile_options.EXTRA: "xla_cpu_disable_loop_unrolling,xla_cpu_small_while_loop_byte_threshold=9"}
    assert jax.jit(lambda x: jnp.sin(x), compiler_options=extra)(0.0) == 0


def test_where_jax_has_no_place_for_them_it_says_no(monkeypatch):
    from jax._src import compiler

    monkeypatch.delattr(compiler, "get_compile_options")
    assert not compile_options.allow_extra_options()
