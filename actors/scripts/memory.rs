//! Counts and limits the memory of an engine.
//!
//! The limit that QuickJS has does not tell how much memory is in use. This allocator does, so that the interrupt
//! handler can stop a function cleanly at [`ScriptSettings::memory`](super::settings::ScriptSettings::memory). The
//! allocator's own limit is higher: an allocation that exceeds it fails, and QuickJS throws `out of memory`.

use std::{
    alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc},
    cell::Cell,
    ptr,
    rc::Rc,
};

use rquickjs::allocator::Allocator;

/// Bytes before each block. They hold the size of the block, and keep it aligned.
const HEADER: usize = 16;

/// The memory that one engine holds.
#[derive(Debug)]
pub(super) struct Memory {
    used: Cell<usize>,
    limit: usize,
    /// Whether an allocation failed since [`Memory::take_refused`] was last called.
    refused: Cell<bool>,
}

impl Memory {
    /// Counts memory up to a limit in bytes.
    pub(super) fn new(limit: usize) -> Rc<Memory> {
        Rc::new(Memory { used: Cell::new(0), limit, refused: Cell::new(false) })
    }

    /// Returns the bytes in use.
    pub(super) fn used(&self) -> usize {
        self.used.get()
    }

    /// Returns whether an allocation failed since [`Memory::take_refused`] was last called.
    pub(super) fn has_refused(&self) -> bool {
        self.refused.get()
    }

    /// Returns whether an allocation failed since the last call of this method.
    pub(super) fn take_refused(&self) -> bool {
        self.refused.replace(false)
    }
}

/// The allocator of one engine.
pub(super) struct CountingAllocator(pub Rc<Memory>);

impl CountingAllocator {
    /// Returns the layout of a new block if it fits within the limit once `freed` bytes are freed.
    fn admit(&self, size: usize, freed: usize) -> Option<Layout> {
        let layout = size.checked_add(HEADER).and_then(|size| Layout::from_size_align(size, HEADER).ok());
        let fits = size <= self.0.limit && self.0.used.get().saturating_sub(freed) + size <= self.0.limit;
        if !fits {
            self.0.refused.set(true);
        }
        layout.filter(|_| fits)
    }

    /// Counts a new block and writes its header. Returns the pointer for QuickJS.
    ///
    /// # Safety
    /// `block` must be null, or allocated with room for the header and `size` bytes.
    unsafe fn count(&self, block: *mut u8, size: usize) -> *mut u8 {
        if block.is_null() {
            self.0.refused.set(true);
            return block;
        }
        self.0.used.set(self.0.used.get() + size);
        // SAFETY: the block has room for the header and is aligned to it
        unsafe {
            block.cast::<usize>().write(size);
            block.add(HEADER)
        }
    }
}

/// Returns the size of a block.
///
/// # Safety
/// `pointer` must come from [`CountingAllocator`].
unsafe fn size_of(pointer: *mut u8) -> usize {
    // SAFETY: a header precedes every block
    unsafe { pointer.sub(HEADER).cast::<usize>().read() }
}

// SAFETY: every block comes from the global allocator, with a header that holds its size; the pointer after the header
// is aligned to 16 bytes, and `size` bytes follow it
unsafe impl Allocator for CountingAllocator {
    fn alloc(&mut self, size: usize) -> *mut u8 {
        match self.admit(size, 0) {
            // SAFETY: the layout is at least as large as the header
            Some(layout) => unsafe { self.count(alloc(layout), size) },
            None => ptr::null_mut(),
        }
    }

    fn calloc(&mut self, count: usize, size: usize) -> *mut u8 {
        let size = count.saturating_mul(size);
        match self.admit(size, 0) {
            // SAFETY: as in `alloc`
            Some(layout) => unsafe { self.count(alloc_zeroed(layout), size) },
            None => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&mut self, pointer: *mut u8) {
        if pointer.is_null() {
            return;
        }
        // SAFETY: the caller passes a pointer from `alloc`, and the header holds its size
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
        // SAFETY: as in `dealloc`; the old block stays valid if the new one does not fit
        unsafe {
            let old = size_of(pointer);
            let Some(layout) = self.admit(size, old) else { return ptr::null_mut() };
            let before = Layout::from_size_align_unchecked(old + HEADER, HEADER);
            let block = realloc(pointer.sub(HEADER), before, layout.size());
            if !block.is_null() {
                self.0.used.set(self.0.used.get() - old);
            }
            self.count(block, size)
        }
    }

    unsafe fn usable_size(pointer: *mut u8) -> usize {
        // SAFETY: the caller passes a pointer from `alloc`
        if pointer.is_null() { 0 } else { unsafe { size_of(pointer) } }
    }
}
