// Register names of the standard ABI, and the names of rounding modes.

export const registerNames: readonly string[] =
  'zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6'.split(
    ' ',
  )

const numbers = new Map(registerNames.map((name, number) => [name, number]))
numbers.set('fp', 8)
for (let number = 0; number < 32; number++) numbers.set(`x${number}`, number)

/** Register number of an ABI or x name. */
export const registerNumber = (name: string): number | undefined => numbers.get(name)

export const floatRegisterNames: readonly string[] =
  'ft0 ft1 ft2 ft3 ft4 ft5 ft6 ft7 fs0 fs1 fa0 fa1 fa2 fa3 fa4 fa5 fa6 fa7 fs2 fs3 fs4 fs5 fs6 fs7 fs8 fs9 fs10 fs11 ft8 ft9 ft10 ft11'.split(
    ' ',
  )

const floatNumbers = new Map(floatRegisterNames.map((name, number) => [name, number]))
for (let number = 0; number < 32; number++) floatNumbers.set(`f${number}`, number)

/** Floating-point register number of an ABI or f name. */
export const floatRegisterNumber = (name: string): number | undefined => floatNumbers.get(name)

/** By the rm field; 5 and 6 are reserved. */
export const roundingNames: readonly string[] = ['rne', 'rtz', 'rdn', 'rup', 'rmm', '5', '6', 'dyn']
