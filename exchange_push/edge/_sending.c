/* send_each of sending.py, compiled: the same outcome without the interpreter between two sockets. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <sys/socket.h>

struct piece {
    int socket;
    const char *bytes;
    Py_ssize_t size, taken;
};

static PyObject *send_each(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "send_each takes sockets and wires");
        return NULL;
    }
    PyObject *sockets = PySequence_Tuple(arguments[0]);
    /* Tuples of our own: with the lock released nobody can take the bytes away. */
    PyObject *wires = sockets ? PySequence_Tuple(arguments[1]) : NULL;
    PyObject *rest = NULL;
    struct piece *pieces = NULL;
    if (!wires)
        goto end;
    Py_ssize_t size = PyTuple_GET_SIZE(sockets);
    if (PyTuple_GET_SIZE(wires) != size) {
        PyErr_SetString(PyExc_ValueError, "as many sockets as wires expected");
        goto end;
    }
    pieces = PyMem_New(struct piece, size ? size : 1);
    if (!pieces) {
        PyErr_NoMemory();
        goto end;
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        long socket = PyLong_AsLong(PyTuple_GET_ITEM(sockets, i));
        char *bytes;
        if (socket == -1 && PyErr_Occurred())
            goto end;
        if (PyBytes_AsStringAndSize(PyTuple_GET_ITEM(wires, i), &bytes, &pieces[i].size) < 0)
            goto end;
        pieces[i].socket = (int)socket;
        pieces[i].bytes = bytes;
    }
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < size; i++) {
        struct piece *piece = &pieces[i];
        ssize_t taken = piece->socket < 0
            ? 0
            : send(piece->socket, piece->bytes, (size_t)piece->size, MSG_DONTWAIT | MSG_NOSIGNAL);
        piece->taken = taken < 0 ? 0 : taken;
    }
    Py_END_ALLOW_THREADS
    rest = PyList_New(0);
    for (Py_ssize_t i = 0; rest && i < size; i++) {
        if (pieces[i].taken == pieces[i].size)
            continue;
        PyObject *item = Py_BuildValue("(nn)", i, pieces[i].taken);
        if (!item || PyList_Append(rest, item) < 0)
            Py_CLEAR(rest);
        Py_XDECREF(item);
    }
end:
    PyMem_Free(pieces);
    Py_XDECREF(wires);
    Py_XDECREF(sockets);
    return rest;
}

static PyMethodDef methods[] = {
    {"send_each", (PyCFunction)(void (*)(void))send_each, METH_FASTCALL,
     "send_each(sockets, wires) -> [(index, bytes taken), ...]"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_sending", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__sending(void)
{
    return PyModule_Create(&definition);
}
