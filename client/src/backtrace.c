/* The present stack as text, in the form that the sanitizers print and their tools read: number, address, function,
 * module with offset, build id of the module. Runs on the thread that fails; takes no lock of ours. Names of functions,
 * but for the first, come from the dynamic symbol table: link programs with -rdynamic. */
#include <dlfcn.h>
#include <elf.h>
#include <execinfo.h>
#include <link.h>
#include <stdint.h>

#include "base/buf.h"
#include "context.h"

enum { FRAMES_MAX = 64, OWN_FRAMES_MAX = 8, BUILD_ID_MAX = 32 };

struct module {
    uintptr_t address; /* looked for */
    uintptr_t base;
    const char *name;
    const unsigned char *build_id;
    size_t build_id_len;
};

static bool note_build_id(const char *at, size_t len, struct module *m)
{
    while (len >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)(const void *)at;
        size_t name_len = (note->n_namesz + 3) & ~(size_t)3, desc_len = (note->n_descsz + 3) & ~(size_t)3;
        if (len - sizeof *note < name_len || len - sizeof *note - name_len < desc_len)
            return false;
        const char *name = at + sizeof *note;
        if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
            m->build_id = (const unsigned char *)name + name_len;
            m->build_id_len = note->n_descsz < BUILD_ID_MAX ? note->n_descsz : BUILD_ID_MAX;
            return true;
        }
        at += sizeof *note + name_len + desc_len;
        len -= sizeof *note + name_len + desc_len;
    }
    return false;
}

static int find_module(struct dl_phdr_info *info, size_t size, void *user)
{
    (void)size;
    struct module *m = user;
    bool inside = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        inside |= p->p_type == PT_LOAD && m->address - (info->dlpi_addr + p->p_vaddr) < p->p_memsz;
    }
    if (!inside)
        return 0;
    m->base = info->dlpi_addr;
    m->name = info->dlpi_name;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_NOTE && note_build_id((const char *)(info->dlpi_addr + p->p_vaddr), p->p_memsz, m))
            break;
    }
    return 1;
}

struct place {
    const char *function, *file; /* NULL: unknown */
    int line;
};

static void add_frame(struct buf *b, int number, const void *address, const struct place *place)
{
    Dl_info symbol = {0};
    /* A return address may be one past the end of its function. */
    bool known = dladdr((const char *)address - 1, &symbol) != 0;
    struct module m = {.address = (uintptr_t)address - 1};
    dl_iterate_phdr(find_module, &m);
    buf_printf(b, "#%d 0x%012lx", number, (unsigned long)(uintptr_t)address);
    if (place->function)
        buf_printf(b, " in %s %s:%d", place->function, place->file, place->line);
    else if (known && symbol.dli_sname)
        buf_printf(b, " in %s+0x%lx", symbol.dli_sname,
                   (unsigned long)((uintptr_t)address - (uintptr_t)symbol.dli_saddr));
    const char *name = m.name && *m.name ? m.name : known ? symbol.dli_fname : "?";
    buf_printf(b, " (%s+0x%lx)", name, (unsigned long)((uintptr_t)address - m.base));
    if (m.build_id) {
        buf_add_str(b, " (BuildId: ");
        for (size_t i = 0; i < m.build_id_len; i++)
            buf_printf(b, "%02x", m.build_id[i]);
        buf_add_char(b, ')');
    }
    buf_add_char(b, '\n');
}

char *backtrace_text(const void *return_address, const char *function, const char *file, int line)
{
    const struct place here = {function, file, line}, unknown = {0};
    void *frames[FRAMES_MAX + OWN_FRAMES_MAX];
    int n = backtrace(frames, FRAMES_MAX + OWN_FRAMES_MAX);
    int first = 0;
    for (int i = 0; i < n && i < OWN_FRAMES_MAX; i++) {
        if (frames[i] == return_address)
            first = i;
    }
    struct buf b = BUF_INIT;
    for (int i = first; i < n && i - first < FRAMES_MAX; i++)
        add_frame(&b, i - first, frames[i], i == first ? &here : &unknown);
    if (b.failed) {
        buf_done(&b);
        return NULL;
    }
    return b.data; /* buf's memory is base/alloc's */
}
