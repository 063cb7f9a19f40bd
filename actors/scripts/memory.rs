//! The engine's memory, counted and bounded.
//!
//! The engine's own limit cannot be asked how near it is. This one can: at `soft` the interrupt handler ends the
//! function cleanly; at `hard`, where one allocation was too large for that, the engine throws `out of memory`.

use std::{
    alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc},
    cell::Cell,
    ptr,
    rc::Rc,
};

use rquickjs::allocator::Allocator;

/// Before each block stands its size.
const HEADER: usize = 16;

/// What one engine holds.
#[derive(Debug)]
pub(super) struct Memory {
    used: Cell<usize>,
    hard: usize,
    refused: Cell<bool>,
}

impl Memory {
    pub fn new(hard: usize) -> Rc<Memory> {
        Rc::new(Memory { used: Cell::new(0), hard, refused: Cell::new(false) })
    }

    /// In bytes.
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// Whether an allocation was refused since this was last asked.
    pub fn take_refused(&self) -> bool {
        self.refused.replace(false)
    }
}

/// Allocates on behalf of one engine.
pub(super) struct CountingAllocator(pub Rc<Memory>);

impl CountingAllocator {
    /// A block's layout, if there is room for it beside all others. `freed` goes when it comes.
    fn admit(&self, size: usize, freed: usize) -> Option<Layout> {
        let layout = size.checked_add(HEADER).and_then(|size| Layout::from_size_align(size, HEADER).ok());
        let fits = size <= self.0.hard && self.0.used.get().saturating_sub(freed) + size <= self.0.hard;
        if !fits {
            self.0.refused.set(true);
        }
        layout.filter(|_| fits)
    }

    /// Takes a fresh block into account.
    ///
    /// # Safety
    /// `block` is null or was allocated with room for the header and `size`.
    unsafe fn note(&self, block: *mut u8, size: usize) -> *mut u8 {
        if block.is_null() {
            self.0.refused.set(true);
            return block;
        }
        self.0.used.set(self.0.used.get() + size);
        // SAFETY: the block is at least a header long and aligned to it
        unsafe {
            block.cast::<usize>().write(size);
            block.add(HEADER)
        }
    }
}

/// # Safety
/// `pointer` was given out by [`Counting`].
unsafe fn size_of(pointer: *mut u8) -> usize {
    // SAFETY: the header stands before every block that was given out
    unsafe { pointer.sub(HEADER).cast::<usize>().read() }
}

// SAFETY: blocks come from the global allocator with a header that holds their size; a pointer past the header is
// aligned to 16 bytes and has `size` bytes behind it
unsafe impl Allocator for CountingAllocator {
    fn alloc(&mut self, size: usize) -> *mut u8 {
        match self.admit(size, 0) {
            // SAFETY: the layout has a size of at least the header's
            Some(layout) => unsafe { self.note(alloc(layout), size) },
            None => ptr::null_mut(),
        }
    }

    fn calloc(&mut self, count: usize, size: usize) -> *mut u8 {
        let size = count.saturating_mul(size);
        match self.admit(size, 0) {
            // SAFETY: as above
            Some(layout) => unsafe { self.note(alloc_zeroed(layout), size) },
            None => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&mut self, pointer: *mut u8) {
        if pointer.is_null() {
            return;
        }
        // SAFETY: the caller hands back what `alloc` gave, whose layout the header tells
        unsafe {
            let size = size_of(pointer);
            self.0.used.set(self.0.used.get() - size);
            dealloc(pointer.sub(HEADER), Layout::from_size_align_unchecked(size + HEADER, HEADER));
        }
    }

    unsafe fn realloc(&mut self, pointer: *mut u8, size: usize) -> *mut u8 {
        if pointer.is_null() {
            return self.alloc(size);
        }
        // SAFETY: as in `dealloc`; the old block stays valid where the new one is refused
        unsafe {
            let old = size_of(pointer);
            let Some(layout) = self.admit(size, old) else { return ptr::null_mut() };
            let before = Layout::from_size_align_unchecked(old + HEADER, HEADER);
            let block = realloc(pointer.sub(HEADER), before, layout.size());
            if !block.is_null() {
                self.0.used.set(self.0.used.get() - old);
            }
            self.note(block, size)
        }
    }

    unsafe fn usable_size(pointer: *mut u8) -> usize {
        // SAFETY: the caller hands in what `alloc` gave
        if pointer.is_null() { 0 } else { unsafe { size_of(pointer) } }
    }
}
