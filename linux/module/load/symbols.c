// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* As in the lock's module: an object is part of one module alone. */
#include "../shim/symbols.c"
