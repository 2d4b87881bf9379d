// Integer register names of the standard ABI.

export const registerNames: readonly string[] =
  'zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6'.split(
    ' ',
  )

const numbers = new Map(registerNames.map((name, number) => [name, number]))
numbers.set('fp', 8)
for (let number = 0; number < 32; number++) numbers.set(`x${number}`, number)

/** Register number of an ABI or x name. */
export const registerNumber = (name: string): number | undefined => numbers.get(name)
