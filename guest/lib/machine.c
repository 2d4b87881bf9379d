// One pass over the flattened tree (Devicetree Specification 0.4, chapter 5). Properties of a node come
// before its children, so a node is complete when the first child or its end is met.
#include "machine.h"

#include "doorbell.h"
#include "string.h"

struct machine machine;

#define FDT_MAGIC 0xd00dfeed
#define BEGIN_NODE 1
#define END_NODE 2
#define PROP 3
#define NOP 4
#define MAX_DEPTH 8

struct property {
  const u8 *bytes;
  u32 length;
};

struct node {
  const char *name;
  u32 address_cells; // for its children
  u32 size_cells;
  u32 phandle;
  struct property reg, compatible, interrupts, interrupts_extended, device_type;
  bool done;
};

static struct property plic_interrupts;

static u32 be32(const u8 *bytes) {
  return (u32)bytes[0] << 24 | (u32)bytes[1] << 16 | (u32)bytes[2] << 8 | bytes[3];
}

static u64 cells(const u8 **bytes, u32 count) {
  u64 value = 0;
  for (; count > 0; count--, *bytes += 4) value = value << 32 | be32(*bytes);
  return value;
}

static u64 number(struct property property) {
  const u8 *at = property.bytes;
  return cells(&at, property.length / 4);
}

/** True when the property is a string list that holds `text`. */
static bool has(struct property property, const char *text) {
  for (u32 at = 0; at < property.length; at += strlen((const char *)property.bytes + at) + 1)
    if (strcmp((const char *)property.bytes + at, text) == 0) return true;
  return false;
}

/** Keeps the list in order of address. */
static void add_device(struct device device) {
  u32 at = machine.device_count++;
  for (; at > 0 && machine.devices[at - 1].reg.base > device.reg.base; at--)
    machine.devices[at] = machine.devices[at - 1];
  machine.devices[at] = device;
}

static void finish(struct node *node, const struct node *parent) {
  if (node->done) return;
  node->done = true;
  const u8 *at = node->reg.bytes;
  u32 entry = 4 * (parent->address_cells + parent->size_cells);
  if (has(node->device_type, "memory")) {
    for (u32 left = node->reg.length; entry && left >= entry && machine.ram_count < MAX_RAM_RANGES; left -= entry) {
      struct range *ram = &machine.ram[machine.ram_count++];
      ram->base = cells(&at, parent->address_cells);
      ram->size = cells(&at, parent->size_cells);
    }
  } else if (has(node->device_type, "cpu") && at && machine.hart_count < MAX_HARTS) {
    struct hart *hart = &machine.harts[machine.hart_count++];
    hart->id = (u32)cells(&at, parent->address_cells);
    hart->plic_context = -1;
  } else if (has(node->compatible, "riscv,cpu-intc") && has(parent->device_type, "cpu")) {
    if (machine.hart_count) machine.harts[machine.hart_count - 1].intc = node->phandle;
  } else if (at && parent->size_cells && node->reg.length >= entry && machine.device_count < MAX_DEVICES) {
    struct device device = {.name = node->name};
    device.reg.base = cells(&at, parent->address_cells);
    device.reg.size = cells(&at, parent->size_cells);
    add_device(device);
    if (has(node->compatible, "ns16550a") && !machine.uart) {
      machine.uart = device.reg.base;
      machine.uart_irq = (u32)number(node->interrupts);
    } else if (has(node->compatible, "sifive,plic-1.0.0") || has(node->compatible, "riscv,plic0")) {
      machine.plic = device.reg.base;
      plic_interrupts = node->interrupts_extended;
    } else if (has(node->compatible, DOORBELL_COMPATIBLE)) {
      machine.doorbell = device.reg.base;
    }
  }
}

static void property(struct node *node, const char *name, struct property value) {
  if (!strcmp(name, "#address-cells")) node->address_cells = (u32)number(value);
  else if (!strcmp(name, "#size-cells")) node->size_cells = (u32)number(value);
  else if (!strcmp(name, "reg")) node->reg = value;
  else if (!strcmp(name, "compatible")) node->compatible = value;
  else if (!strcmp(name, "device_type")) node->device_type = value;
  else if (!strcmp(name, "interrupts")) node->interrupts = value;
  else if (!strcmp(name, "interrupts-extended")) node->interrupts_extended = value;
  else if (!strcmp(name, "phandle")) node->phandle = (u32)number(value);
  else if (!strcmp(name, "timebase-frequency")) machine.timebase = number(value);
  else if (!strcmp(name, "riscv,isa")) machine.isa = (const char *)value.bytes;
  else if (!strcmp(name, "mmu-type")) machine.mmu = (const char *)value.bytes;
  else if (!strcmp(name, "bootargs")) machine.bootargs = (const char *)value.bytes;
  else if (!strcmp(name, "linux,initrd-start")) machine.initrd.base = number(value);
  else if (!strcmp(name, "linux,initrd-end")) machine.initrd.size = number(value) - machine.initrd.base;
}

/** Contexts are numbered by their place in interrupts-extended: pairs of phandle and interrupt. */
static void plic_contexts(void) {
  for (u32 i = 0; i * 8 + 8 <= plic_interrupts.length; i++) {
    const u8 *pair = plic_interrupts.bytes + i * 8;
    for (u32 h = 0; h < machine.hart_count; h++)
      if (be32(pair) == machine.harts[h].intc && be32(pair + 4) == 9) machine.harts[h].plic_context = (i32)i;
  }
}

bool machine_read(const void *tree) {
  const u8 *blob = tree;
  if (be32(blob) != FDT_MAGIC) return false;
  machine.tree = (struct range){(u64)tree, be32(blob + 4)};
  const u8 *at = blob + be32(blob + 8);
  const char *strings = (const char *)blob + be32(blob + 12);
  struct node nodes[MAX_DEPTH + 2];
  memset(nodes, 0, sizeof nodes);
  u32 depth = 0; // nodes[depth] is the open node; nodes[0] stands above the root
  for (;;) {
    u32 token = be32(at);
    at += 4;
    if (token == BEGIN_NODE) {
      if (depth) finish(&nodes[depth], &nodes[depth - 1]);
      if (depth > MAX_DEPTH) return false;
      struct node *node = &nodes[++depth];
      memset(node, 0, sizeof *node);
      node->name = (const char *)at;
      node->address_cells = 2;
      node->size_cells = 1;
      at += (strlen(node->name) + 4) & ~3UL;
    } else if (token == END_NODE) {
      finish(&nodes[depth], &nodes[depth - 1]);
      if (--depth == 0) break;
    } else if (token == PROP) {
      struct property value = {at + 8, be32(at)};
      property(&nodes[depth], strings + be32(at + 4), value);
      at += 8 + ((value.length + 3) & ~3U);
    } else if (token != NOP) {
      return false;
    }
  }
  plic_contexts();
  if (!machine.timebase) machine.timebase = 10000000;
  return true;
}

struct hart *machine_hart(u64 id) {
  for (u32 h = 0; h < machine.hart_count; h++)
    if (machine.harts[h].id == id) return &machine.harts[h];
  return NULL;
}
