/* hand_each of handing.py, compiled: the same outcome without the interpreter between two members. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static int hand(PyObject *member, PyObject *pieces, PyObject *waiting)
{
    PyObject *chain = PyDict_GetItemWithError(waiting, member);
    if (!chain) {
        if (PyErr_Occurred())
            return -1;
        chain = PyList_GetSlice(pieces, 0, PyList_GET_SIZE(pieces));
        int set = chain ? PyDict_SetItem(waiting, member, chain) : -1;
        Py_XDECREF(chain);
        return set;
    }
    if (!PyList_Check(chain)) {
        PyErr_SetString(PyExc_TypeError, "a list expected for each member");
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(pieces); i++)
        if (PyList_Append(chain, PyList_GET_ITEM(pieces, i)) < 0)
            return -1;
    return 0;
}

static PyObject *hand_each(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 3 || !(PyDict_Check(arguments[0]) || PyList_Check(arguments[0])) || !PyList_Check(arguments[1]) ||
        !PyDict_Check(arguments[2])) {
        PyErr_SetString(PyExc_TypeError, "hand_each takes members (a dict or list), pieces (a list), waiting (a dict)");
        return NULL;
    }
    PyObject *members = arguments[0], *pieces = arguments[1], *waiting = arguments[2], *member;
    Py_ssize_t at = 0;
    if (PyDict_Check(members)) {
        while (PyDict_Next(members, &at, &member, NULL))
            if (hand(member, pieces, waiting) < 0)
                return NULL;
    } else {
        for (; at < PyList_GET_SIZE(members); at++)
            if (hand(PyList_GET_ITEM(members, at), pieces, waiting) < 0)
                return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"hand_each", (PyCFunction)(void (*)(void))hand_each, METH_FASTCALL, "hand_each(members, pieces, waiting)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_handing", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__handing(void)
{
    return PyModule_Create(&definition);
}
